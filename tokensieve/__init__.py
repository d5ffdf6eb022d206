"""tokensieve: token-level filtering of pretraining text, from a raw shard to a training sample.

1. `conf/` holds presets: a corpus, a policy, a classifier, a model size; one YAML file describes one corpus.
2. `jobs/` are the verbs. They read the source, write tables and shards, release them and tell about them, with Spark.
3. `udfs/` is what runs inside an executor: text in, one score a token out; scores in, byte spans out.
4. `pretrain/` is what runs beside Megatron: shards in, samples with a loss mask out, models trained on them.

In a checkout the four are links to the repository's own folders; installed, they lie below this package.
"""
