"""The back ends of `udfs.tokenizer`: one file each, and the proof that they are equal."""
