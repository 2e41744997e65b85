"""A run of Weights & Biases. WANDB_MODE, WANDB_PROJECT and the other variables of W&B hold."""

import base64
import io
import os

from deeplab.training.tracking import messages

PACKAGE = "wandb"
_STEP = "step"


def refusal():
    """Returns why W&B can't be used, beside a missing package; None if it can."""
    return None


class Run:
    """A run, new or gone on with. W&B learns nothing about this machine: no host, user, command, code or packages.

    Args:
      begin: as in `messages`.
    """

    def __init__(self, begin):
        import wandb

        self._wandb = wandb
        if begin["folder"]:  # W&B copies what it keeps, by default into the home of the user
            os.environ.setdefault("WANDB_DATA_DIR", begin["folder"])
        switches = {
            **dict.fromkeys(("x_disable_meta", "x_disable_stats", "x_disable_machine_info"), True),
            **dict.fromkeys(("disable_git", "disable_code", "label_disable", "silent"), True),
            **{"console": "off", "host": "unnamed", "x_save_requirements": False},
        }
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", messages.PROJECT),
            id=begin["id"],
            name=os.environ.get("WANDB_NAME", begin["name"]),
            dir=os.environ.get("WANDB_DIR", begin["folder"]),
            resume="allow",
            settings=wandb.Settings(**switches),
        )
        self.id = self._run.id
        # A training that was killed takes some steps again, which W&B's own count would refuse.
        self._run.define_metric(_STEP)
        self._run.define_metric("*", step_metric=_STEP)
        self._run.config.update(begin["parameters"], allow_val_change=True)

    def values(self, values, step):
        self._run.log({**values, _STEP: step})

    def pictures(self, files, step):
        from PIL import Image

        images = [self._wandb.Image(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]
        self._run.log({messages.PICTURES: images, _STEP: step})

    def artifact(self, files, step):
        artifact = self._wandb.Artifact(f"checkpoint-{self.id}", "model", metadata={_STEP: step})
        for name, path in files.items():
            artifact.add_file(path, name)
        self._run.log_artifact(artifact)

    def end(self, status):
        self._run.finish(exit_code=0 if status == messages.FINISHED else 1)
