"""Encoders: packed token ids in, one feature vector per token out."""
