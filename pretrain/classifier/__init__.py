"""A classifier by a recipe: labelled documents in, a bundle with its card out.

1. `config` is the recipe; `recipe` has the order of the steps; `weak_to_strong` fits three of them and compares.
2. Documents come from `pretrain/labelled`; a finished bundle can label them instead (`teacher`).
3. `backbone` is the encoder to start from: a fresh shape or a pretrained one; `apply` runs it over whole documents.
4. Heads on a frozen encoder (`fit_heads`): `draw_tokens` chooses tokens, `frozen_features` reads their features once,
   `logistic_head` and `mlp_head` are fitted, and `choose_head` takes the best on calibration tokens.
5. Encoder and head together (`fit_jointly`): `token_pools` gives tokens soft targets, `spliced_rows` makes rows that
   switch topic, `joint_trainer` trains on them.
6. Either way `fitted` is what a method hands over. It is calibrated (`pretrain/measuring`), `figures` reports on it,
   and the bundle is saved with its `card`.
"""
