#!/bin/bash
# Downloads ADE20K for scene parsing (1 GB) and builds its shards. Run it again after an interruption: it continues.
#
#   bash scripts/download_and_convert_ade20k.sh [FOLDER]       (default: ade20k in the current folder)
#
# ADE20K_URL     another address of ADEChallengeData2016.zip
# ADE20K_SHA256  checks the download; empty for none
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

WORK="${1:-ade20k}"
URL="${ADE20K_URL:-http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip}"
fetch_and_unpack "$WORK" ADEChallengeData2016.zip "$URL" "${ADE20K_SHA256:-}"

ADE="$WORK/raw/ADEChallengeData2016"
"$PYTHON" "$ROOT/datasets/build_ade20k_data.py" \
  --train_image_folder="$ADE/images/training" \
  --train_image_label_folder="$ADE/annotations/training" \
  --val_image_folder="$ADE/images/validation" \
  --val_image_label_folder="$ADE/annotations/validation" \
  --output_dir="$WORK/tfrecord" --overwrite
echo "Done: --dataset_dir=$WORK/tfrecord"
