#!/usr/bin/env bash
# next-version.sh MODEL SHIPPED prints the folder for the next version of the model in the folder MODEL. Where there is none
# yet, the versions in SHIPPED are put there first: inference takes all versions of a model from one place, and the one
# that has answered so far must go on while the new one is tried.
set -euo pipefail
shopt -s nullglob

model=$1 shipped=$2

newest=0
look() {
  local file version
  for file in "$model"/*/model.onnx; do
    version=$(basename "$(dirname "$file")")
    if [[ $version =~ ^[1-9][0-9]*$ ]] && ((version > newest)); then newest=$version; fi
  done
}

mkdir -p "$model"
look
if ((newest == 0)); then
  cp -R "$shipped"/. "$model"
  look
fi
echo "$model/$((newest + 1))"
