"""The back ends of `udfs.tokenizer`: how texts lie in memory, one file per kind of tokenizer, and the proof of equality."""
