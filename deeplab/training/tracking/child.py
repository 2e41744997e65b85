"""The child process: `python -m deeplab.training.tracking.child wandb|mlflow`. Imports no TensorFlow.

It takes the messages of `messages` from its stdin and gives them to a tracker. What the tracker prints goes to stderr.
"""

import importlib
import json
import os
import signal
import sys

from deeplab.errors import one_line
from deeplab.training.tracking import messages

_LONGEST_ERROR = 300


def serve(run_of, source, answers):
    """Gives the messages of `source`, an iterable of lines, to a tracker; writes the answers to the file `answers`.

    Args:
      run_of: function (begin) -> a run: it has `id`, `values(values, step)`, `pictures(files, step)`,
        `artifact(files, step)` and `end(status)`.
    """
    run = None
    try:
        for text in source:
            message = json.loads(text)
            if "begin" in message:
                run = run_of(message["begin"])
                answers.write(messages.line(id=run.id))
            else:
                _give(run, message)
                answers.write(messages.line(done=True, ended="end" in message))
            answers.flush()
            if "end" in message:
                return
    except Exception as error:  # of a tracker, its network and its disk
        answers.write(messages.line(error=f"{type(error).__name__}: {one_line(error, _LONGEST_ERROR)}"))
        answers.flush()


def _give(run, message):
    if "values" in message:
        # JSON has no number for what is not finite, and curves have no point there.
        run.values({name: value for name, value in message["values"].items() if value is not None}, message["step"])
    elif "pictures" in message:
        run.pictures(message["pictures"], message["step"])
    elif "artifact" in message:
        run.artifact(message["artifact"], message["step"])
    else:
        run.end(message["end"])


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which ends this process in time
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a tracker prints gets between the answers
    module = importlib.import_module(f"deeplab.training.tracking.{sys.argv[1]}_run")
    serve(module.Run, sys.stdin.buffer, answers)
    os._exit(0)  # a tracker that waits for its server when Python ends would keep the training waiting


if __name__ == "__main__":
    main()
