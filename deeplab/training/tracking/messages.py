"""What a training tells the child process that feeds a tracker: one JSON object a line. Imports no TensorFlow.

    {"begin": {"id": ID or null, "name": NAME, "folder": DIR or null, "step": STEP, "parameters": {FLAG: VALUE}}}
    {"values": {NAME: NUMBER or null}, "step": STEP}
    {"pictures": [PNG in base64], "step": STEP}
    {"artifact": {NAME: PATH}, "step": STEP}
    {"end": FINISHED, STOPPED or FAILED}

The child answers on its stdout, also a line each: {"id": ID} after "begin", {"done": true, "ended": BOOL} after all
else, and {"error": TEXT} when the tracker takes no more, after which the child ends.
"""

import json

PROJECT = "deeplab"  # of W&B, and experiment of MLflow, unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME says another
PICTURES = "image, label, prediction"  # what the three parts of a picture show
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"  # how a training may end


def line(**content):
    """Returns a message or an answer as bytes."""
    return (json.dumps(content) + "\n").encode()
