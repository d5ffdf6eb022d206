"""Encoders: packed token ids in, one feature vector per token out, nothing seen across a document's bounds.

1. A configuration comes in; `encoder` builds the kind that it names and checks weights against it.
2. The kinds: `sliding`, small, with attention of fixed reach; `bilm`, two language models that meet at every token, or
   one masked one; `hugging_face`, any BERT-like model, which `hugging_face_folder` reads from a folder or the hub.
3. Ours are made of `block`s, those of `bilm` as whole `transformer`s; all of them attend by `attention`, which pads
   nothing. `hugging_face_attention` teaches it to the models of transformers.
"""
