"""The parts of the verb `export`: its settings, where documents go, what a task writes, how shards become visible."""
