"""Documents of any length as packs that fill a token budget, with every token's value back in its place.

1. The tokens of a batch come in, document after document, with their bounds.
2. `windows` cuts long documents into overlapping windows, fills packs with them, and writes each token's value back
   from the one window that keeps it.
3. `packed_row` says where the documents of one pack lie: what attention asks, worked out once.
4. `packed_forward` does the whole walk for one encoder, as fitting a classifier needs it; scoring jobs, which keep a
   device busy with several packs, walk by `udfs/scoring/compute.py` over the same windows and packs.
"""
