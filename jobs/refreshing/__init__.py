"""What the verb `refresh` is made of: its lock, the plan of a night, the tolerance gate, releases and their upkeep.

What a night says of itself: `publish` is the entry, `gather` and `profiles` read tables, `drift` and `bundles` compare
scores, the cards and `charts` are the page's parts, `metrics` and `hook` tell machines.
"""
