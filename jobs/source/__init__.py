"""The source without scoring it: which files there are, what is in them, which tasks read them.

1. Section `source` comes in; `files` finds the files of a disk, `remote_files` those of an object store.
2. `changes` holds them against the ledger of the table that stands: new, changed, gone, kept.
3. `listing` opens those that are to be read: `inspect_file` takes version, schema and splits of one, `schema` settles
   what they share; what cannot be read is set aside with a reason.
4. `partitions` packs splits into tasks of like work; `scan` gives them to Spark, or a Delta table as Spark reads it.
5. Without a session: `without_spark` has the same splits for a dry run, `first_rows` a small sample of text.
"""
