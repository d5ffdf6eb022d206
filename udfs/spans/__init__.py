"""Intervals on flat arrays: a batch of documents lies end to end on one axis, of tokens or of bytes.

1. Flags or spans of a batch come in, with the bounds of its documents.
2. `intervals` makes spans of runs of flags, bridges gaps between them, widens them, and overlays those of policies.
3. `carry` takes spans of bytes over to the tokens of any tokenizer: a token that touches one is marked.
4. Spans leave sorted and disjoint, marks as one value a token.
"""
