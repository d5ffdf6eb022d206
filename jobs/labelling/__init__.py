"""Verbs `label ...`: every labeller reads the same documents and writes the same kind of table (udfs/labels)."""
