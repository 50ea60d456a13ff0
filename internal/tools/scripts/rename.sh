#!/usr/bin/env bash
# Renames the module everywhere it is written; `make rename` then generates the code anew, since generated code holds the
# name with its length.
# Usage: rename.sh OLD NEW
set -euo pipefail

old=$1 new=$2
if [[ ! $new =~ ^[a-z0-9][a-z0-9.-]*\.[a-z]+(/[A-Za-z0-9._~-]+)*$ ]]; then
  echo "MODULE=$new is no module path: say for example MODULE=example.org/team/sonde" >&2
  exit 1
fi
git grep -lzI --fixed-strings "$old" -- ':!gen/go' ':!gen/java/src' ':!gen/python/*_pb2*' ':!gen/typescript/src' |
  xargs -0 sed -i "s|${old//./\\.}|$new|g"
