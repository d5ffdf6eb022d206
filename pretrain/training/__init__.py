"""One training run on megatron-core: what it will do, the model, the steps, its checkpoints and records."""
