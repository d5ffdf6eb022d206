"""What runs on a driver: the verbs, flat, one file each, and below them the rooms that they are made of.

The command line is `cli`; `errors` holds what can go wrong, each with its exit code. A verb is no library: what two
verbs need lies in a room. `refresh` and `demo` alone call other verbs. The verbs:

1. Tables: `score`, `mask` and `sweep`, `maintain` for their upkeep.
2. Shards: `export`, `verify`, `mix`.
3. Classifiers: `pretrain_encoder`, `fit`, `fit_report`, `calibrate`; the labellers are in `labelling/`.
4. Training: `train` (plan, train, resume, eval), `launch`, `convert`.
5. To look at things: `report` for a corpus, `trace` for a document, `doctor` for a machine.
6. All of it: `refresh` every night, `demo` on the bundled text.

The rooms, the lowest floor first; a room imports from floors below its own only, and from `udfs` and `pretrain`.

1. `spark`: the session, progress, code for executors. `tables`: commits as Parquet or Delta, the lock. `config`: one
   file a section.
2. `policies` (definitions, rules), `source` (which files and rows there are), `command` (verbs as commands).
3. `releases` (what belongs together), `scoring` (the source through the classifier), `labelling`, `pages` (pieces of
   HTML).
4. `exporting` (masked rows to shards), `labelling/claude`.
5. `labelling/sae`, and the pages: `pages/corpus`, `pages/classifier`, `pages/refresh`.
6. `refreshing` (the steps of a refresh run) and `tracing` (one document's, or one batch's, way).
"""
