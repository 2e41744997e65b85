#!/usr/bin/env bash
# What a maintainer runs before a release: format (in place), lint, all tests, wheel and sdist in dist/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

make_environment test
say "Format and lint, mending what can be mended"
.venv/bin/ruff format .
.venv/bin/ruff check --fix .
bash scripts/test.sh "$@"
say "Wheel and source distribution"
.venv/bin/python -m build --outdir dist .
ls -l dist
