"""A finished run as a Hugging Face folder of a stock class. Needs torch and safetensors, neither megatron nor a GPU.

1. A run's folder comes in; `finished_run` reads configuration, weights and tokenizer, and holds the weights against the
   shapes of `names`.
2. `weights` renames and scales the tensors, `hugging_face_config` writes the configuration of the class that computes
   the same logits; a tokenizer that is a rank file goes through `tiktoken_json`.
3. `convert` puts all of it into a folder that appears whole or not at all.
"""
