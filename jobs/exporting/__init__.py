"""From the masked table to Megatron shards: only what is new is written, and the manifest comes last.

1. `documents` is one version of the masked table, `tokenizer` the pretraining tokenizer, as a manifest describes it.
2. `unchanged_groups` finds the export that stands, `groups` which source files share shards and which groups change.
3. `layout` says where each document goes: its split, its shard, its place, by hashes of its id.
4. `new_manifest` has the order of the steps: `run_tasks` sends the tasks, `shard_task` is what one does in an executor,
   `publish` renames what they wrote and removes what nobody names any more; then the manifest.
5. `copy` lays the finished set in another place, manifest last.
6. Afterwards `read_back` reads documents as they lie in shards, `rebuild` makes the shard set of an old manifest again.
"""
