#!/usr/bin/env bash
# Finds out what the build still needs of the system. Root gets it installed; anybody else is told the one line to run.
# Usage: system.sh [ONNXRUNTIME_LIBRARY], the library that need not be fetched if it is there.
set -euo pipefail

if ! command -v go >/dev/null; then
  echo "Go is missing: install 1.26 or newer as https://go.dev/doc/install says." >&2
  exit 1
fi

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
cc -E - <<<'#include <pcap.h>' >/dev/null 2>&1 || packages+=(libpcap-dev)
# ONNX Runtime comes by a package client; any will do.
if [[ ! -e ${1:-} ]] && ! python3 -m pip --version >/dev/null 2>&1 && ! command -v npm >/dev/null; then
  packages+=(python3-pip)
fi
((${#packages[@]})) || exit 0

echo "missing: ${packages[*]}"
if ! command -v apt-get >/dev/null; then
  echo "This is no Debian or Ubuntu: install a C compiler, libpcap's headers and pip or npm, then try again." >&2
  exit 1
fi
if ((EUID)); then
  echo "Run as root: apt-get update && apt-get install -y --no-install-recommends ${packages[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}"
