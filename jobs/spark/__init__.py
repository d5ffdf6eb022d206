"""The Spark session, and what it needs to be told.

1. Section `spark` comes in; `session` takes the running session or makes one, with Delta where it is needed. A server
   of Spark Connect is asked by `connect`.
2. `s3_connector` adds what Spark itself needs to read and write an S3 store.
3. `ship_code` puts our package on the executors' path where Spark does not.
4. `progress` names the running step in Spark's UI and shows on one line that work moves.
"""
