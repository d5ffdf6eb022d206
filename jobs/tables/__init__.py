"""Tables that change by one commit, on a disk, a mount or an object store, and the small files beside them.

1. `config` is section `tables`; `open_store` opens its root: `store` is a folder, `object_store` a prefix of a bucket.
   Either can create a file that nobody else has, which all commits stand on.
2. `table` is what a table can do; `parquet_table` and `delta_table` do it.
3. `ledger` says for a version of `scores` which source files it holds and which version wrote their rows;
   `quarantine` which version of the quarantine belongs to it.
4. `lock` keeps a second writer out.
"""
