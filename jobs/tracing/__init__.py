"""What `tokensieve trace` is made of: `raw_row` reads the first station, `training` the last, `lines` is for people."""
