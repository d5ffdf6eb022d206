"""The back ends of `udfs.tokenizing.tokenizer`: one file each, and the proof that they are equal."""
