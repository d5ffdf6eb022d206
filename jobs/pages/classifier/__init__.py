"""The page on a classifier (verb `fit report`), drawn from the records of `report.json` alone.

1. A report of `pretrain/measuring` comes in; `tables` makes its figures tables.
2. `page` draws the whole: figures, curves, and the passages with the worst mistakes.
"""
