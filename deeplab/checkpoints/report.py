"""What restoring weights did, for the program and for the reader."""

import collections
import dataclasses

STEP, OPTIMIZER, COUNTER = "the training step", "state of the optimizer", "counter of another training"
OF_TRAINING = (STEP, OPTIMIZER, COUNTER)  # reasons for skipping what only goes on with the training of the file


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """Which variables were restored, which were not, and why. `str(report)` is a table."""

    source: str  # path of the file
    kind: str  # the kind of file, in words
    step: int | None  # the training step in the file
    loaded: tuple[str, ...]  # paths of the model's variables that got a value
    missing: tuple[str, ...]  # paths of variables that the file doesn't have: they keep their initial values
    skipped: dict[str, str]  # {name in the file: why its value was not used}

    @property
    def of_training(self):
        """{name: reason} of the skipped values that belong to the training of the file: a network has none of them."""
        return {name: reason for name, reason in self.skipped.items() if reason in OF_TRAINING}

    @property
    def left_out(self):
        """{name: reason} of the other skipped values, which are weights."""
        return {name: reason for name, reason in self.skipped.items() if reason not in OF_TRAINING}

    def __str__(self):
        step = "" if self.step is None else f", step {self.step}"
        lines = [f"{self.source} ({self.kind}{step}): {len(self.loaded)} variables loaded"]
        lines += _table(self)
        for reason, names in _by_reason(self.left_out).items():
            lines.append(f"skipped, {reason}: {_listed(names)}")
        if self.of_training:
            counts = collections.Counter(self.of_training.values())
            told = ", ".join(f"{reason} ({counts[reason]})" for reason in OF_TRAINING if counts[reason])
            lines.append(f"no weights, and needed only to go on with the training that wrote the file: {told}")
        if self.missing:
            lines.append(f"left at their initial values: {', '.join(_braced(map(_name, self.missing)))}")
        return "\n".join(lines)


def _table(report):
    """Returns the lines of a table that counts variables per scope, e.g. `aspp0`."""
    columns = [report.loaded, report.missing, report.left_out]
    counts = [collections.Counter(_name(path).split("/")[0] for path in column) for column in columns]
    scopes = sorted(set().union(*counts))
    width = max([len(scope) for scope in scopes] + [len("scope")])
    rows = [f"  {'scope':{width}}  loaded  missing  skipped"]
    return rows + [f"  {s:{width}}  {counts[0][s]:6}  {counts[1][s]:7}  {counts[2][s]:7}" for s in scopes]


def _by_reason(skipped):
    """Returns {reason: [names]}."""
    reasons = collections.defaultdict(list)
    for name, reason in skipped.items():
        reasons[reason].append(name)
    return reasons


def _listed(names, most=4):
    """Returns the first names as text, with the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _braced(names):
    """Joins the variables of one layer: `aspp0/BatchNorm/{beta, gamma}`."""
    scopes = collections.defaultdict(list)
    for name in names:
        scope, _, leaf = name.rpartition("/")
        scopes[scope].append(leaf)
    return [f"{s}/{leaves[0]}" if len(leaves) == 1 else f"{s}/{{{', '.join(leaves)}}}" for s, leaves in scopes.items()]


def _name(path):
    """Returns the reference's name of the variable with that path."""
    return path.replace(".", "/")
