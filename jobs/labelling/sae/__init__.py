"""Weak token labels from the latents of a sparse autoencoder (arXiv 2601.21571)."""
