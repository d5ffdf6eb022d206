"""What belongs together: releases of the tables, what was said of them, and what of the past must stay.

1. `release` is the record of one: versions of tables, ledger, rules, bundles, manifest; written once, numbered.
2. `refresh_run` is what happened in one refresh run, `release_report` what a release is against the one before: plain
   values, which pages and `refresh.json` show.
3. `training_runs` finds the runs that are known, and which manifests they read.
4. `still_needed` says of both what vacuum and export must leave alone.
"""
