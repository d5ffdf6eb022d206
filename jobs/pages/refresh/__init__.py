"""The page and the metrics on a refresh run: what it did, what the newest release has, whether that looks right.

1. The run and the release's report come in (`jobs/releases`), as plain values.
2. `page` is the whole; `cards` are the source files and the counts, `scores_card` drift, other bundles and other rules,
   `charts` two distributions over each other and the history.
3. `metrics` says the same run in Prometheus' format.
"""
