"""One training run on megatron-core: what it will do, the model, the steps, its checkpoints and records.

1. `config` is section `pretrain`, `model_config` the model in it; `plan` says what the run will do with these shards,
   or every reason why it cannot, from manifests alone.
2. `train` sets up what is global for the block of one call: Megatron's groups (`parallel`), its quirks
   (`megatron_patches`), the samples.
3. `engine` is one model and its optimizer: `model` builds this process's part, `initial_weights` fills it so that it
   does not depend on the cut, `optimizer` knows the rates (muP's among them).
4. `run` is the step loop: `batches` brings microbatches, shared among processes as `step_share` says; `validation`
   measures; `checkpoint` saves, and `run_identity` says whether a run may go on from one.
5. `records` is what leaves: lines of metrics, then weights, which `whole_model` joins on one process, and the result.
"""
