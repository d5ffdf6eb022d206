"""Heads on frozen features: which tokens, their features on disk, the fits, and the choice between them.

Encoder and token head trained together on spliced rows: a small encoder from scratch, or a given one fine-tuned.
"""
