#!/usr/bin/env bash
# Trains on the TPU VM made by create.sh; run it again to go on after an interruption.
#   DATA=gs://BUCKET/voc LOGDIR=gs://BUCKET/run1 RECIPE=scripts/recipes/voc_mobilenet_v2.flags bash scripts/tpu/train.sh
# Shapes are static (the training crop); the batch is global, so give a multiple of the number of cores.
# The device takes --log_steps steps for each visit of the host.
set -euo pipefail
: "${NAME:=deeplab}" "${ZONE:=us-central1-a}" "${BATCH:=64}"
: "${RECIPE:=scripts/recipes/voc_mobilenet_v2.flags}"
: "${DATA:?folder of the shards, gs://...}" "${LOGDIR:?where the training goes, gs://...}"

gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all --command="
  cd deeplab && .venv/bin/python -m deeplab.train --flagfile=$RECIPE \
    --dataset_dir=$DATA --train_logdir=$LOGDIR --train_batch_size=$BATCH \
    --distribution_strategy=tpu --tpu=local --mixed_precision=bfloat16 --log_steps=100 $*"
