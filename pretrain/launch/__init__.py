"""Starts training runs: torchrun on one node, Slurm for many, with our own loop or Megatron-LM's.

1. `config` is section `launch`: machines, processes, container, Slurm, which loop.
2. `launch` makes the plan, the files and the command before anything is written: `node_script` starts one node's
   trainers, `slurm_script` asks for the nodes.
3. For Megatron-LM: `megatron_lm_arguments` says the run in its options, `run_filter` holds what it has no option for,
   and `megatron_lm_entry` runs its script with our data set.
"""
