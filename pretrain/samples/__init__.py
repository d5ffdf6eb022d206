"""From shards to training samples: Megatron's data set with the filter's decisions, the order of a run, and back."""
