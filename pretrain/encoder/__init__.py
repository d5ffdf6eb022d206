"""Pretraining of encoders from scratch: the two halves of a biLM, and masked language models.

One device per half, no Megatron: two GPUs train one half each, and a join puts them together.

1. `config` is a recipe; `pretrain_encoder` has the order of the steps.
2. `encoder_tokenizer` loads the vocabulary or trains it on the sources.
3. Each source becomes a `token_store`: `documents` reads and filters texts, which `token_cache` keeps as ids on disk;
   `exported` takes the ids of exported shards.
4. `schedule` says which pieces each step reads, `corpus` reads them, `objective` makes a task of a row of them.
5. `trainer` runs the steps of one half; `checkpoint` saves them and says whose run they are.
6. An encoder's folder leaves (`udfs/bundles/pretrained.py`), with the `card` that says how it came about.
"""
