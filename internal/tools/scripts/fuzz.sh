#!/usr/bin/env bash
# Runs every fuzz target for the time given, one after the other; the first that finds something ends it.
# Usage: fuzz.sh TIME
set -euo pipefail

git grep -E '^func Fuzz' -- '*_test.go' | sed -E 's|^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*).*|\1 \2|' | while read -r folder name; do
  echo "== $folder $name"
  go test -run='^$' -fuzz="^$name\$" -fuzztime="$1" "./$folder" </dev/null
done
