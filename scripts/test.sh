#!/usr/bin/env bash
# Runs every check on a fresh machine: makes .venv, installs, then ruff and all tests with two workers.
#
#   bash scripts/test.sh                      everything
#   bash scripts/test.sh -k decoder -x        further arguments go to pytest
#
# Ends with pytest's exit code (or that of ruff, which runs first).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

make_environment test
say "Style: ruff check, ruff format --check"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
say "Tests"
exec .venv/bin/python -m pytest -n 2 --dist worksteal "$@"
