"""What runs inside an executor: Arrow record batches and numpy in and out, neither pyspark nor Delta nor Megatron.

The rooms below, the lowest floor first; a room imports from floors below its own only.

1. `files` (paths, stores, names by content), `spans` (intervals of bytes or tokens), `scores` (how scores are stored)
   and `tokenizing` (text to ids and bytes) know nothing of each other.
2. `reading` turns a split of a source file into rows, `packing` long and short documents into packs for an encoder,
   `deciding` stored scores into forget spans, and these into a loss mask for pretraining tokens.
3. `labels` holds what anybody said about the bytes of a text, `encoders` the networks that read tokens.
4. `bundles`: an encoder, its tokenizer, heads and thresholds as one checked folder, the classifier. `sae`: text is
   labelled by the latents of a sparse autoencoder.
5. `scoring/backends` computes packs on a CPU or a GPU.
6. `scoring`: rows through the classifier, the one stage that costs hours.

No file lies flat here.
"""
