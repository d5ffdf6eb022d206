"""Reads the rows of a source file in an executor; what cannot be read costs a row its place and never the job.

1. A task comes in as a row with its splits: `split` says which rows of which file each one is.
2. `read_shard` reads a split: `parquet_rows` a row group page by page, `json_lines` a range of lines; a file on an
   object store is read by `remote_file`, a range a request.
3. `parts` leave: batches of readable rows with file, version and row number, or faults with the reason of
   `fault_reasons`.
4. `text_rows` says of the rows whether their text can be used, what the document is called, and the text's hash.
5. `line_marks` walks a JSONL file once for the driver, who cuts splits at the marks.
"""
