"""What can be wrong with the files that say what a shard set is; `megatron_index` has the errors of the shards."""


class ManifestError(ValueError):
    """A manifest, or a file that it names, is missing, cannot be read, or lies outside the folder."""
