"""The steps of a refresh run around `score`, `mask` and `export`: what is due, what is made of it, what is told.

1. `sources` lists the source against the newest ledger; `plan` says which steps are due and why, without Spark.
   `dry_run` shows that and ends.
2. The verbs run. After scoring `tolerance` decides whether too many new documents were quarantined.
3. `new_release` writes the release of what stands now.
4. `sum_up` makes its report from what changed: `row_sums` counts rows, `score_profiles` gives the distributions of
   scores that `drift` compares, `bundle_change` says what another bundle or rule does to the same documents.
5. `run_log` keeps what the run did, however it ends; `publish` writes report, page and metrics, then `refresh.json`,
   and runs the hook.
6. `as_of` shows a past release, or makes its shards again.
"""
