"""From shards to training samples: Megatron's data set with the filter's decisions, the order of a run, and back.

1. A folder comes in; `corpus` sees a shard set or a blend as one list of shards, from manifests alone.
2. `filter_config` is what a run may decide (mask, hide or neither, a threshold, noise, a delay); `filter_decisions`
   turns it into a level of the stored scores and into flips of single decisions.
3. `dataset` reads one shard as Megatron does and gives `loss_mask` aligned with the labels, from the first filtered
   sample on; `index_cache` refuses index files that could run code.
4. `training_samples` puts all shards and epochs of a run in order: samples 0, 1, 2, ... leave.
5. Back again: `documents` finds a document's place in the shards by its id, `locate` the samples it is in.
"""
