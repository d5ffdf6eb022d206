"""The page on a corpus (verb `report`): tables and shards in, one HTML file out.

1. `gather` reads counts from tables and shards in a few scans; `sample` chooses documents, cut into coloured runs.
2. `facts` is everything that the page says, as plain values.
3. `page` draws it, with the `cards` of policies and sample documents.
"""
