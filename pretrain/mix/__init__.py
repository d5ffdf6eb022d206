"""Shard sets mixed at stated shares: planned from manifests and indices, written as a blend or as one shard set."""
