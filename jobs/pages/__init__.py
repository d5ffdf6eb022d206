"""What `tokensieve report` is made of: `facts` says what a page holds, `gather` and `sample` read it from the tables
and shards, `page` and `chart` draw it."""
