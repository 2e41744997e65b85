#!/usr/bin/env bash
# Runs the training step on TensorFlow 2.20, the newest with a TPU build, in an environment of its own: on Keras 3, on
# tf_keras, and compiled by XLA with static shapes. Needs no TPU.
#
#   bash scripts/tpu/check_tensorflow_2_20.sh
#
# Makes .venv-2.20 (about 2 GB); ends with code 0 when every test passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python3 -m venv .venv-2.20
.venv-2.20/bin/python -m pip install --quiet --upgrade pip
.venv-2.20/bin/python -m pip install --quiet --editable ".[test]" "tensorflow==2.20.0" "tf_keras==2.20.1" "tensorboard==2.20.0"
exec .venv-2.20/bin/python -m pytest -q tests/training/test_legacy_keras.py tests/training/test_training_step.py tests/training/test_training_xla.py \
  tests/training/test_training_goldens.py tests/training/test_multi_worker.py "$@"
