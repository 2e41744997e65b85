"""Copies the reference's golden cases without what no test reads, so that they stay small.

python tests/golden/copy_cases.py ../shared/reference/cases tests/golden/cases
"""

import json
import pathlib
import sys

import numpy as np

UNUSED = ("layers", "endpoints", "low_level_endpoints")
LARGE = 150_000  # bytes; of larger probabilities the logits say enough


def copy(source, target):
    """Copies one case: `<name>.json` and the `.npz` beside it."""
    case = json.loads(source.read_text())
    kept = {key: value for key, value in case.items() if key not in UNUSED}
    with np.load(source.with_suffix(".npz")) as file:
        arrays = {key: file[key] for key in file.files if _is_read(key, file[key])}
    target.mkdir(parents=True, exist_ok=True)
    (target / source.name).write_text(json.dumps(kept, separators=(",", ":")) + "\n")
    np.savez_compressed(target / source.with_suffix(".npz").name, **arrays)


def _is_read(key, array):
    if key == "endpoint_stats" or key.startswith(("low_level_", "backbone_output")):
        return False
    return not (key == "probabilities_s4" and array.nbytes > LARGE)


if __name__ == "__main__":
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        copy(path, pathlib.Path(sys.argv[2]))
