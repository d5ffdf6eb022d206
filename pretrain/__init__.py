"""Everything that runs beside Megatron: shard format, masked dataset, model and training loop.

Nothing is imported here on purpose: `pretrain.shards.shard` runs on Spark executors that have neither torch nor
megatron-core, and importing the package must stay free there.
"""
