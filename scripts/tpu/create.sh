#!/usr/bin/env bash
# Creates a Cloud TPU VM and installs the project on it. Needs gcloud, logged in, with a project chosen.
#   NAME=deeplab ZONE=us-central1-a TYPE=v5litepod-8 VERSION=v2-alpha-tpuv5-lite bash scripts/tpu/create.sh
# Not proven on hardware: written after the Cloud TPU documentation and the sources of TensorFlow 2.20.
set -euo pipefail
: "${NAME:=deeplab}" "${ZONE:=us-central1-a}" "${TYPE:=v5litepod-8}" "${VERSION:=v2-alpha-tpuv5-lite}"
cd "$(dirname "$0")/../.."

gcloud compute tpus tpu-vm create "$NAME" --zone="$ZONE" --accelerator-type="$TYPE" --version="$VERSION"
git archive --format=tar.gz --output=/tmp/deeplab.tar.gz HEAD
gcloud compute tpus tpu-vm scp /tmp/deeplab.tar.gz "$NAME": --zone="$ZONE" --worker=all
gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all --command="
  mkdir -p deeplab && tar -xzf deeplab.tar.gz -C deeplab && cd deeplab &&
  python3 -m venv .venv && .venv/bin/pip install --upgrade pip &&
  .venv/bin/pip install '.[tpu]' &&
  .venv/bin/pip install --force-reinstall --no-deps tensorflow-tpu==2.20.0"  # see setup.py
echo "Ready. Train: NAME=$NAME ZONE=$ZONE bash scripts/tpu/train.sh"
