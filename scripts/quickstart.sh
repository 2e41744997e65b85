#!/usr/bin/env bash
# From nothing to a segmented picture with one command: installs into .venv, draws a data set, builds TFRecord shards,
# trains a small DeepLabv3+, evaluates it, writes pictures, exports a SavedModel and segments a picture with it.
#
#   bash scripts/quickstart.sh [DIR]       default ./quickstart; under 10 minutes on 2 cores
#
# A second run goes on where the first one stopped, or was stopped.
# IMAGES=N draws N training images and STEPS=N trains for N steps instead of the recipe's (for a short try).
set -euo pipefail
start=$(date +%s)
out="$(realpath -m "${1:-quickstart}")"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

make_environment
python=.venv/bin/python
shards="$out/shards" logdir="$out/train" export_dir="$out/export"
mkdir -p "$out"

say "1/6  Drawing scenes and building TFRecord shards: $shards"
if [ -e "$shards/dataset.json" ]; then
  echo "There already."
else
  "$python" -m deeplab build shapes --output_dir="$shards" --overwrite ${IMAGES:+--train_images="$IMAGES" --val_images=4}
fi

say "2/6  Training: $logdir  (curves: .venv/bin/tensorboard --logdir=$logdir)"
"$python" -m deeplab train --recipe=quickstart --dataset_dir="$shards" --train_logdir="$logdir" \
  ${STEPS:+--training_number_of_steps="$STEPS" --slow_start_step=0 --slow_start_burnin_type=none}

say "3/6  Evaluating on images that it was not trained on"
"$python" -m deeplab.eval --checkpoint_dir="$logdir" --dataset_dir="$shards"

say "4/6  Pictures: image | truth | prediction | overlay"
"$python" -m deeplab.vis --checkpoint_dir="$logdir" --dataset_dir="$shards" --vis_logdir="$out/pictures" --max_images=12

say "5/6  Exporting a SavedModel: $export_dir"
if ls "$export_dir"/*/saved_model.pb >/dev/null 2>&1 && [ "$logdir/checkpoint" -ot "$export_dir" ]; then
  echo "There already, newer than the checkpoint."
else
  "$python" -m deeplab.export --checkpoint_dir="$logdir" --export_path="$export_dir"
fi
newest="$export_dir/$(ls "$export_dir" | grep -E '^[0-9]+$' | sort -n | tail -n 1)"

say "6/6  Segmenting a picture with the SavedModel, in a process that knows nothing of this project"
drawings="$shards/drawings"
[ -e "$drawings" ] || drawings="$out/drawings"  # where earlier versions put them
picture="$drawings/images/$(tail -n 1 "$drawings/val.txt").jpg"
project="$PWD"
(cd "$out" && PYTHONPATH="" "$project/$python" "$project/scripts/segment_with_saved_model.py" \
  "$newest" "$picture" segmented.png 2> segment.log) || { cat "$out/segment.log" >&2; fail "step 6 failed"; }

say "Done in $(($(date +%s) - start)) seconds. Look at:"
cat <<TEXT
  image | truth | prediction | overlay   $out/pictures/segmentation_results/
  what the SavedModel makes of a picture $out/segmented.png
  checkpoints, config.json, metrics      $logdir/
  curves                                 .venv/bin/tensorboard --logdir=$logdir
  the SavedModel                         $newest/
Next: your own images and masks: README.md, "I have images and masks".
TEXT
