#!/usr/bin/env bash
# Trains a recipe on several GPUs of this machine: every GPU gets the batch that the recipe gives to one device.
#
#   DATA=SHARDS LOGDIR=LOGDIR bash scripts/multi_gpu.sh                                  on all GPUs
#   DATA=SHARDS LOGDIR=LOGDIR GPUS=2 bash scripts/multi_gpu.sh --mixed_precision=none    on the first two; further flags
#
# With k GPUs the batch and the learning rate are k times those of the recipe, and the steps are a k-th: the training sees
# as many images. RECIPE=NAME or RECIPE=FILE says which recipe. Run the same command again to go on after an interruption.
# What was run and what was not: docs/gpu.md.
set -euo pipefail
: "${DATA:?folder of the shards}" "${LOGDIR:?folder for the training}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
: "${RECIPE:=voc_xception_65}"
: "${GPUS:=$(nvidia-smi --list-gpus 2>/dev/null | wc -l)}"
[ "$GPUS" -ge 1 ] || { echo "error: nvidia-smi lists no GPU; GPUS=NUMBER says how many to use" >&2; exit 2; }

name="$RECIPE"
[ ! -e "$RECIPE" ] || name=$(sed -n 's/^--recipe=//p' "$RECIPE")  # files of scripts/recipes only name the recipe
[ -z "$name" ] || RECIPE="$root/deeplab/config/recipes/${name%.flags}.flags"
[ -e "$RECIPE" ] || { echo "error: $RECIPE: no such recipe; see deeplab/config/recipes" >&2; exit 2; }

of_recipe() {  # NAME: the value of a flag in the recipe, which has to name it
  sed -n "s/^--$1=//p" "$RECIPE" | tail -n 1 | grep . ||
    { echo "error: $RECIPE: expected a line --$1=VALUE, which is scaled by the number of GPUs" >&2; exit 2; }
}

batch=$(of_recipe train_batch_size)
rate=$(of_recipe base_learning_rate)
steps=$(of_recipe training_number_of_steps)
batch=$((batch * GPUS))
rate=$(awk "BEGIN { print $rate * $GPUS }")
steps=$(((steps + GPUS - 1) / GPUS))
warm_up=()
if [ "$GPUS" -gt 1 ]; then  # a rate k times as large diverges at the first steps
  warm_up=(--slow_start_step=500 --slow_start_burnin_type=linear)
  CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES:-$(seq -s, 0 $((GPUS - 1)))}"
  export CUDA_VISIBLE_DEVICES
fi
echo "$GPUS GPUs: batch $batch, learning rate $rate, $steps steps"
exec python -m deeplab.train --flagfile="$RECIPE" --dataset_dir="$DATA" --train_logdir="$LOGDIR" \
  --train_batch_size="$batch" --base_learning_rate="$rate" --training_number_of_steps="$steps" "${warm_up[@]}" \
  --mixed_precision=bfloat16 "$@"
