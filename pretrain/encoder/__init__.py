"""Pretraining of encoders from scratch: the two halves of a biLM, and masked language models.

One device per half, no Megatron: two GPUs train one half each, and a join puts them together. The order of the steps is
in `encoder.py`; everything else is one step to a file.
"""
