"""A run of MLflow, on the server or in the folder that MLFLOW_TRACKING_URI names."""

import base64
import os
import re
import tempfile
import time

from deeplab.training.tracking import messages

PACKAGE = "mlflow"
_URI = "MLFLOW_TRACKING_URI"
_AT_ONCE = 100  # parameters that MLflow's servers take in one request
_LONGEST = 500  # letters of a parameter that every server takes
_NO_NAME = re.compile(r"[^\w. /:-]")  # what names of metrics may not have
# MLflow would try to reach a server for four minutes, and again for each message.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
_STATUS = {messages.FINISHED: "FINISHED", messages.STOPPED: "KILLED", messages.FAILED: "FAILED"}


def refusal():
    """Returns why MLflow can't be used, beside a missing package; None if it can."""
    if not os.environ.get(_URI):
        return f"{_URI} has to say where, such as http://server:5000 or file:/data/mlruns"
    return None


class Run:
    """A run, new or gone on with. MLflow's client, unlike its fluent interface, sends no user, host or command.

    Args:
      begin: as in `messages`.
    """

    def __init__(self, begin):
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        if os.environ[_URI].startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions ask for it
        from mlflow import MlflowClient, entities

        self._client, self._entities = MlflowClient(), entities
        self.id = begin["id"] if begin["id"] and self._is_there(begin["id"]) else self._new(begin["name"])
        self._set(begin["parameters"], begin["step"])

    def _is_there(self, name):
        """Tells whether a run can be gone on with, and begins to do so."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(name, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def _new(self, name):
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", messages.PROJECT)
        experiment = self._client.get_experiment_by_name(wanted)
        number = experiment.experiment_id if experiment else self._client.create_experiment(wanted)
        return self._client.create_run(number, run_name=name).info.run_id

    def _set(self, parameters, step):
        """Records the parameters. MLflow lets none change, so that the changes of a resumed training become tags."""
        known = self._client.get_run(self.id).data.params
        texts = {name: str(value)[:_LONGEST] for name, value in parameters.items()}
        new = [self._entities.Param(name, text) for name, text in texts.items() if name not in known]
        for first in range(0, len(new), _AT_ONCE):
            self._client.log_batch(self.id, params=new[first : first + _AT_ONCE])
        for name, text in texts.items():
            if known.get(name, text) != text:
                self._client.set_tag(self.id, f"{name} from step {step}", text)

    def values(self, values, step):
        now = int(1000 * time.time())
        metrics = [self._entities.Metric(_NO_NAME.sub("_", name), value, now, step) for name, value in values.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def pictures(self, files, step):
        with tempfile.TemporaryDirectory() as folder:
            for number, file in enumerate(files):
                path = os.path.join(folder, f"step_{step:08}_{number}.png")
                with open(path, "wb") as picture:
                    picture.write(base64.b64decode(file))
                self._client.log_artifact(self.id, path, "pictures")

    def artifact(self, files, step):
        for name, path in files.items():
            self._client.log_artifact(self.id, path, f"checkpoint/{os.path.dirname(name)}".rstrip("/"))
        self._client.set_tag(self.id, "checkpoint step", step)

    def end(self, status):
        self._client.set_terminated(self.id, _STATUS[status])
