"""One document from raw row to training samples, or one training batch back to documents (verb `trace`).

1. `raw_row` reads the row from the source again, and says whether the file is still the one that was scored.
2. Scores, masked row and shard are read by the verb itself; of a document that is in no table any more
   `removed_document` says which release had it last.
3. `samples` finds the training samples that hold the document, in the run's own data set.
4. `batch` goes the other way: what one process read in one step.
5. `as_lines` says a trace for people.
"""
