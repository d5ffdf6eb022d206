"""The configuration of a corpus or a labelling project: what a YAML file may say, one file of this room a section.

1. A path or a preset's name comes in; `load` reads it, lays overrides on top, and names every fault by its key.
2. `corpus` is the whole of a corpus: sections `source`, `policy` (one entry of `policies`), `score`, `export` and
   `refresh` are files here, `spark`, `tables`, `pretrain` and `launch` lie in the rooms that need them.
3. `labelling` is the whole of a labelling project, with the sections of its labellers; the larger ones are `claude` and
   `sae`.
"""
