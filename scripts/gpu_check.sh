#!/usr/bin/env bash
# Checks and measures the project on the GPU of this machine; no network and no installation are needed.
#
#   bash scripts/gpu_check.sh                                  the parts that need no data, in at most 6 minutes
#   bash scripts/gpu_check.sh --parts=training --seconds=500   some parts, with more time
#   bash scripts/gpu_check.sh --quick                          every part at small sizes, also on a CPU
#   bash scripts/gpu_check.sh --help                           the parts, and all options
#
# DEEPLAB_PYTHON=/path/to/python names the interpreter; otherwise .venv is used, or python3 where there is no .venv.
# The exit code is 0 if all parts passed, 1 if a part failed, and 2 for wrong options or if there is no GPU.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${DEEPLAB_PYTHON:-$root/.venv/bin/python}"
[ -n "${DEEPLAB_PYTHON:-}" ] || [ -x "$python" ] || python=python3
# The goldens and the code that reads them lie in tests/.
export PYTHONPATH="$root:$root/scripts:$root/tests${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m gpu_check "$@"
