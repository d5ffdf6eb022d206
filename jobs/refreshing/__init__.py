"""What the verb `refresh` is made of: its lock, the plan of a night, the tolerance gate, releases and their upkeep."""
