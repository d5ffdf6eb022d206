"""The shard format: Megatron's token files with a loss mask beside them, the manifest that names them, its check.

Runs on Spark executors, which have neither torch nor megatron-core: numpy, and pydantic for the manifest.

1. Batches of documents come in, as ids, mask and lengths; `check` refuses what Megatron could not read.
2. `shard` writes them to `.bin` files as they come, and the `.idx` of `megatron_index` at the end; it reads them too.
3. `shard_info` is what is said of a finished shard, `groups` which source files went into which shards, and `manifest`
   names all of that by hashes, written last: without it a folder is no corpus.
4. `blend` weighs several shard sets without copying a token.
5. `verify` reads every file again and lists what is wrong.
"""
