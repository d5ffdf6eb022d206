"""From a source to the tables `scores` and `quarantine`: what is to be scored, the pass on Spark, its rows parted.

1. `refusals` stops what cannot work before a row is read; `job` decides from the last commit what is to be done.
2. With a cascade `cascade` chooses its thresholds on a sample.
3. `stage` sends the source's splits through the classifier as one Spark stage; `gpu_task` is the wrapper in the
   executor that gives a task its GPU (udfs/scoring does the scoring).
4. `quarantined_rows` parts scored rows from faults and duplicates, `rows_that_stay` puts them beside what was there.
5. Meanwhile `watch` reads the heartbeats of the tasks and `snapshot` says how far they are.
6. Beforehand `estimate` says what a run would take, from a sample that `timing` puts through the stage.
"""
