#!/usr/bin/env bash
# What a maintainer runs before a release. It formats the files in place, checks style and types, runs all tests, builds
# wheel and sdist in dist/, and tries the wheel in an environment of its own.
#
#   bash scripts/check.sh                     further arguments go to pytest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

make_environment test
say "Format, and lint with automatic corrections"
.venv/bin/ruff format .
.venv/bin/ruff check --fix .
say "Type hints"
.venv/bin/mypy
bash scripts/test.sh "$@"
say "Wheel and source distribution"
rm -rf dist
.venv/bin/python -m build --outdir dist .
ls -l dist
say "The wheel alone: help and configurations need no TensorFlow"
.venv/bin/python -m venv --clear dist/clean
dist/clean/bin/python -m pip install --quiet --disable-pip-version-check --no-deps dist/*.whl absl-py
(
  cd dist
  clean/bin/python -c 'import deeplab; print(deeplab.__version__, deeplab.MODELS["xception65_coco_voc_trainaug"].miou)'
  clean/bin/deeplab-train --help | grep -q voc_xception_65 || fail "the wheel has no recipes"
  clean/bin/deeplab --help >/dev/null
  clean/bin/deeplab build voc2012 --help >/dev/null
  ! clean/bin/python -c 'import datasets' 2>/dev/null || fail "the wheel brings a top-level package datasets"
)
rm -rf dist/clean
