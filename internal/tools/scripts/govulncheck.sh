#!/usr/bin/env bash
# Runs govulncheck, and says so where it could not be run, because its database is on a network that is not here.
set -uo pipefail

output=$(go tool -modfile=internal/tools/go.mod govulncheck ./... 2>&1)
status=$?
if ((status)) && grep -q '^govulncheck: fetching vulnerabilities: ' <<<"$output"; then
  echo "govulncheck: not run (its database does not answer)"
  exit 0
fi
echo "$output"
exit "$status"
