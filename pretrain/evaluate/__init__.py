"""What finished training runs reached, on text that they did not learn from.

1. A run's folder comes in; `checkpoint_losses` loads each of its checkpoints and measures the evaluation sets.
2. `compare_runs` lays the losses of several runs, or of one run's checkpoints, side by side, refusing those that were
   measured on other text.
"""
