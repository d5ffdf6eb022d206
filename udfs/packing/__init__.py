"""Documents of any length as packs that fill a token budget, with every token's value back in its place.

1. The tokens of a batch come in, document after document, with their bounds.
2. `windows` cuts long documents into overlapping windows, fills packs with them, and writes each token's value back
   from the one window that keeps it.
3. `packed_row` says where the documents of one pack lie: what attention asks, worked out once.
4. Who walks over the packs keeps the pace: `udfs/scoring/compute.py` keeps a device busy with several of them,
   `pretrain/classifier/apply.py` reads one after the other.
"""
