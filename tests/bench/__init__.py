"""Measurements, each against the common alternative in the same run: `python -m tests.bench.NAME`, `make bench`."""
