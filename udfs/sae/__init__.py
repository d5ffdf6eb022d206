"""Sparse autoencoders in an executor: hidden values of a language model, the latents that fire, what that labels.

1. Once, on one machine: `cut_slice` cuts the kept latents out of a released SAE; `slice` is our file of them.
2. `model` finds the language model and says whether the SAE fits it, `residual` computes its hidden values, a value a
   token, and `latents` the firings, which leave as the sparse list of `activations`.
3. The statistics pass: `collect` sums how each latent fires (`statistics`, which thresholds follow from) and keeps the
   strongest passages of each (`contexts`, which an explainer reads).
4. The labelling pass: `label_texts` makes tokens of firings by the votes of `seeds` and gives labels of bytes;
   `cross_check` turns into unknown what contradicts the labels of sentences.
"""
