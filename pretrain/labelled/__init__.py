"""Documents with labels, read beside Spark: what classifiers learn from, are calibrated on and are measured on.

1. Files of documents come in; `labels` reads them with the coarse labels of a sidecar, and knows the targets of tokens.
2. `label_set` reads a table that a labeller wrote and joins it to documents by id, each text checked by its hash.
3. `corpus` does both for a recipe, and splits documents by content into training, calibration and held out; whatever
   is left out is counted by its reason.
"""
