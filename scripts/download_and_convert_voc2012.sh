#!/bin/bash
# Downloads PASCAL VOC 2012 (2 GB) and builds its shards. Run it again after an interruption: it continues.
#
#   bash scripts/download_and_convert_voc2012.sh [FOLDER]      (default: pascal_voc_seg in the current folder)
#
# VOC2012_URL    another address of VOCtrainval_11-May-2012.tar
# VOC2012_SHA256 checks the download; empty for none
# VOC2012_AUG    a folder SegmentationClassAug; the split train_aug is then built, too
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

WORK="${1:-pascal_voc_seg}"
URL="${VOC2012_URL:-http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar}"
fetch_and_unpack "$WORK" VOCtrainval_11-May-2012.tar "$URL" "${VOC2012_SHA256:-}"

VOC="$WORK/raw/VOCdevkit/VOC2012"
"$PYTHON" "$ROOT/datasets/build_voc2012_data.py" \
  --image_folder="$VOC/JPEGImages" \
  --semantic_segmentation_folder="$VOC/SegmentationClass" \
  --list_folder="$VOC/ImageSets/Segmentation" \
  ${VOC2012_AUG:+--augmented_folder="$VOC2012_AUG"} \
  --output_dir="$WORK/tfrecord" --overwrite
echo "Done: --dataset_dir=$WORK/tfrecord"
