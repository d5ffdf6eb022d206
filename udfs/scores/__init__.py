"""How a token's score is stored, one byte on a grid of logits, and what is counted of stored scores.

1. Logits come in; `stored_scores` puts them on the grid, packs them and the tokens' byte lengths into one binary value
   a document, and reads both back as flat arrays.
2. `count_scores` makes histograms of a partition's scores, one row a policy.
3. `compare_scores` does so for two scores of the same documents, under another bundle.
"""
