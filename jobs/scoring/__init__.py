"""What `tokensieve score` is made of: `source` lists what there is, `scan` turns it into scored rows on Spark,
`outcome` parts them into the scores table and the quarantine."""
