"""A tracker beside metrics.jsonl: W&B or MLflow, in a child process, so that neither stops or slows a training.

The training writes messages to the child, see `messages`. `feed` is the training's side, `child` the other one, and
`wandb_run` and `mlflow_run` tell the trackers.
"""
