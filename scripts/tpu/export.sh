#!/usr/bin/env bash
# Exports what was trained with train.sh; needs no TPU.
#   LOGDIR=gs://BUCKET/run1 EXPORT=gs://BUCKET/model bash scripts/tpu/export.sh
set -euo pipefail
: "${LOGDIR:?where the training went}" "${EXPORT:?where the SavedModel goes}"
cd "$(dirname "$0")/../.."
.venv/bin/python -m deeplab.export --checkpoint_dir="$LOGDIR" --export_path="$EXPORT" "$@"
