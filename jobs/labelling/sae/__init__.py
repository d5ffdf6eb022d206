"""Weak token labels from the latents of a sparse autoencoder (arXiv 2601.21571).

1. `export` cuts the kept latents out of a released SAE. `inputs` is what every later verb needs of slice and model.
2. `stats` runs the model over the source: how each latent fires, and the passages on which it does so most.
3. `describe` has Claude say what each latent is, from the passages of `latent_contexts`, or reads it from an export by
   `neuronpedia`; `explanations` tests what was said on passages that the explainer did not see.
4. `select` has Claude say which latents are the policy's. Both ask in the words of `latent_prompts`, several latents a
   request (`groups`).
5. `chosen` is which latents label with which weight; `label` labels every token by them and commits the label set.
"""
