"""The results of a check: a table that grows line by line, and results.json, which is whole after every row."""

import contextlib
import dataclasses
import datetime
import math
import os
import pathlib
import shlex
import time

from deeplab.files import formats
from gpu_check import rows

KIND = formats.Kind("results of scripts/gpu_check.sh", "run it again", ("begun", "options", "parts"))
_MARKS = {True: "ok", False: "FAIL", None: ""}


class Results:
    """Prints and keeps what the parts find.

    Args:
      options: the `Options` of the check.

    Attributes:
      rows: what the part that runs has found so far.
    """

    def __init__(self, options):
        self._folder = pathlib.Path(options.output)
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "table.txt").unlink(missing_ok=True)
        said = {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in dataclasses.asdict(options).items()
        }
        now = datetime.datetime.now(datetime.timezone.utc)
        self._content = {"begun": now.isoformat(timespec="seconds"), "options": said, "parts": {}}
        self._part = self.rows = None
        self._say(f"Results: {self._folder}/results.json")

    def log(self, part):
        """Returns the path of what the processes of a part print."""
        return self._folder / f"{part}.log"

    @contextlib.contextmanager
    def part(self, name, limit):
        """A part runs inside of the `with`; then it is said how the part ended."""
        self.log(name).unlink(missing_ok=True)
        self._part, self.rows, begun = name, [], time.monotonic()
        content = {"state": "running", "limit_seconds": limit, "rows": self.rows}
        self._content["parts"][name] = content
        self._write()
        yield
        if content["state"] == "running":
            content["state"] = self._judged()
        content["seconds"] = round(time.monotonic() - begun, 1)
        reason = f": {content['error']}" if "error" in content else ""
        self._say(f"{name:13} {content['state']} after {content['seconds']:.0f} s{reason}")
        self._write()

    def add(self, row):
        """Adds a row of the part that runs, see `rows.send`."""
        self.rows.append(row)
        mark = "skip" if "skipped" in row else _MARKS[row["ok"]]
        self._say(f"{self._part:13} {mark:4} {row['name']:44} {rows.text(row)}".rstrip())
        self._write()

    def leave_out(self, part, reason):
        """Notes that a part does not run at all."""
        self._content["parts"][part] = {"state": "left out", "error": reason, "rows": []}
        self._say(f"{part:13} left out: {reason}")
        self._write()

    def end(self, state, reason):
        """Notes how the part that runs ends, unless it has failed already."""
        if self.state != "failed":
            self._content["parts"][self._part] |= {"state": state, "error": reason}

    @property
    def state(self):
        """How the newest part ended: "passed", "failed", "stopped", "skipped" or "no GPU"."""
        return self._content["parts"][self._part]["state"]

    def last_line_of_log(self):
        """Returns the last line that the part has printed, such as the error that ended it."""
        lines = [line for line in self.log(self._part).read_text("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1].strip()[:400] if lines else "no output"

    def finish(self):
        """Says how the check ended; returns the exit code: 1 if a part failed or was stopped."""
        states = {name: part["state"] for name, part in self._content["parts"].items()}
        bad = [name for name, state in states.items() if state in ("failed", "stopped")]
        self._say(f"{len(states) - len(bad)} of {len(states)} parts without a fault. {self._folder}/results.json")
        for name in bad:
            self._say(f"{name}: see {shlex.quote(str(self.log(name)))}")
        return 1 if bad else 0

    def _judged(self):
        if any(row["ok"] is False for row in self.rows):
            return "failed"
        return "skipped" if self.rows and all("skipped" in row for row in self.rows) else "passed"

    def _say(self, line):
        print(line, flush=True)
        with open(self._folder / "table.txt", "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _write(self):
        """Replaces results.json. Not by `files.atomic`, because that imports TensorFlow."""
        aside = self._folder / "unfinished-results.json"
        aside.write_text(KIND.text(self._content), "utf-8")
        os.replace(aside, self._folder / "results.json")
