"""Sparse autoencoders inside an executor: hidden values of a model, the latents they fire, what that labels."""
