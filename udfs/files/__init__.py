"""Paths and folders, as every other room needs them: opened, named by content, put in place in one step.

1. A path or URI comes in; `storage` opens it, says which version an object has, and turns a store's errors into ours.
   Of a preset `installed` finds the real folder under `conf/`, unpacked where the code runs from a zip.
2. `content_id` names plain values by the hash of what they hold.
3. `hashed_folder` makes a folder beside its place, and checks one by the SHA-256 of its files.
4. `committed` says which Parquet files the newest commit of a table of ours lists, without Spark.
"""
