#!/usr/bin/env bash
# Runs ruff and the tests, with two workers. On a fresh machine, it makes .venv and installs into it first.
#
#   bash scripts/test.sh                      all tests
#   bash scripts/test.sh --quick              in under 4 minutes: leaves out the tests marked slow, and lists them
#   bash scripts/test.sh -k decoder -x        further arguments go to pytest
#
# The exit code is that of pytest, or that of ruff if ruff fails. tests/conftest.py implements --quick.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

make_environment test
say "Style: ruff check, ruff format --check"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
say "Tests"
exec .venv/bin/python -m pytest -n 2 --dist worksteal "$@"
