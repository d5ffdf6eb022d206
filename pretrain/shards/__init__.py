"""The shard format: Megatron's token files with a loss mask beside them, the manifest that names them, its check.

Runs on Spark executors, which have neither torch nor megatron-core: numpy, and pydantic for the manifest.
"""
