"""What runs beside Megatron: shards and their samples, mixes, training runs, and the making of classifiers. No pyspark.

Flat here is what all rooms share: `errors` by what a user does about them, `hashed_file` (files and their SHA-256),
`hashing` (choices that follow from content) and `process_group` (torch's group for one block of code). The rooms, the
lowest floor first; a room imports from floors below its own only.

1. `shards`: token files with a loss mask beside them, and the manifest that names them. `labelled`: documents with
   labels, split by content.
2. `samples`: a run's training samples from shards, with the filter's decisions. `mix` puts shard sets together at
   stated shares. `measuring`: figures of a classifier on labelled documents, and thresholds for a goal.
3. `training` is the run on megatron-core, `classifier` goes from a recipe to a classifier bundle.
4. `evaluate` measures a run's checkpoints, `convert` makes its weights a Hugging Face model, `launch` starts runs, and
   `encoder` trains the encoders that classifiers stand on.

Nothing is imported here on purpose: `pretrain/shards/shard.py` runs on Spark executors that have neither torch nor
megatron-core, and importing the package must stay free there.
"""
