"""Starts training runs: torchrun on one node, Slurm for many, with our own loop or Megatron-LM's."""
