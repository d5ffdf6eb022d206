"""Heads on frozen features: which tokens, their features on disk, the fits, and the choice between them."""
