"""How a shard is read, in parts of bounded size: `split` names rows, `parquet_rows` and `json_lines` yield them."""
