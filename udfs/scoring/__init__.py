"""Scoring in an executor: splits of the source in, rows with a score a token and a document out, faults beside them.

1. `score_plan` is what every task is told, and the schema of what it gives back. On a GPU `task_device` says which one
   the task has, and `device_lease` lets one process at a time load a model there.
2. `score_rows` is the stage: it reads rows, sets unusable texts aside and tokenizes the others. Reading, tokenizing and
   computing run in threads of their own, each a little in front of the next (`run_ahead`).
3. `scorer`, one a Python worker, holds the classifiers; policies with the same encoder are one `shared_pass`.
4. `batch_group` packs documents of several batches together, `compute` keeps the back end (`backends/`) busy with
   their packs and puts values back in place. With a `cascade` a few stretches of a document decide whether all of it
   is read.
5. `scored_rows` makes the rows that leave: a struct a policy, or a reason for the quarantine.
6. `meter` counts what a task does, `heartbeat` tells the driver. Afterwards `judge_rows` says what a cascade kept.
"""
