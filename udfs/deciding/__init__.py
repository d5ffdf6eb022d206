"""From stored scores to what is forgotten, and from forgotten bytes to tokens that bear no loss. No model runs here.

1. The score columns of a batch come in; `decide_rows` decodes them, a policy at a time.
2. `rule` makes spans by threshold, runs, gaps and dilation, settles where policies overlap, and gives each document
   its action: keep, mask, hide or drop. Spans of bytes and actions leave through `decide_rows`.
3. `sweep` counts in one pass what a rule would forget at each of many thresholds.
4. `pretrain_tokens` gets texts with their spans: it tokenizes them for pretraining, lays the loss mask over the
   tokens, replaces hidden ids, and carries one policy's scores over.
"""
