"""What `tokensieve score` is made of: `source` finds files, `shard` looks at one, `listing` settles what they share,
`partitions` packs their splits into tasks, `scan` turns it into scored rows on Spark, `outcome` parts them into the
scores table and the quarantine. `watch` shows how far a run is (`snapshot`);
`estimate` says beforehand what it takes, from a `sample` that is put through `timing`."""
