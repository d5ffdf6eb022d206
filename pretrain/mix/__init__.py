"""Shard sets mixed at stated shares: planned from manifests and indices, written as a blend or as one shard set.

1. `config` is the mix: a clean part that stays as it is, and sources that are added at shares.
2. `source` opens each shard set; `plan` works out what its share is in tokens, `selection` which documents make it,
   `annotate` which prefix a document gets. `mix plan` ends here.
3. `write` puts the mix in its folder in one step. A blend is shares of manifests; a shard set is written by
   `shard_set`: `order` shuffles the documents of all parts, `gather` reads them in that order.
4. `inputs` says in the new manifest what the mix was made from.
"""
