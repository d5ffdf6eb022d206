"""Encoder and token head trained together on spliced rows: a small encoder from scratch, or a given one fine-tuned."""
