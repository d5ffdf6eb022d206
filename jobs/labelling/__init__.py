"""Verbs `label ...`: every labeller reads the same documents and writes the same kind of table (udfs/labels).

1. `documents` is the source as id, text and hash, a row for every document.
2. The labellers: `coarse` copies what is said of whole documents, `lexicon` goes by words, `human_spans` takes what
   people marked; `claude/` asks Claude, `sae/` reads the latents of a sparse autoencoder.
3. `label_set` runs a labeller over the documents and commits the table `labels/NAME`: who labelled, by which policy.
4. `agree` holds two label sets against each other.
"""
