#!/usr/bin/env bash
# Fetches ONNX Runtime's shared library by the first package client that this machine has, and checks its hash.
# Usage: onnxruntime.sh VERSION TARGET
set -euo pipefail

version=$1 target=$2
case "$version $(uname -sm)" in
  "1.24.3 Linux x86_64")
    npm_folder=x64
    sums=(
      12e097b0705253189cd2cde73a091febefb7348edcfe606cd54aec010a4bab2b # PyPI's wheel
      92ba8e44d31b80a34f5e805076a044122c3be1fffe0d88ed790de7267b0b2682 # npm's onnxruntime-node
    ) ;;
  "1.24.3 Linux aarch64")
    npm_folder=arm64
    sums=(
      34b560ca50f0ba1228a715ce3bedb14eb0fa8e9002dd43dfe083be399f67d7ad
      33032cb5b91c12edbf028d7c69fa40a31848d66c0095448758af237d5e0b07db
    ) ;;
  *)
    echo "No hash is known of ONNX Runtime $version for $(uname -sm): install it and let SONDE_ONNXRUNTIME name the library." >&2
    exit 1 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The wheel is the smallest (17 MB). The library in it does not depend on Python, hence any fixed Python version.
by_pip() {
  python3 -m pip --version >/dev/null 2>&1 || return 1
  python3 -m pip download --quiet --no-deps --only-binary :all: --implementation cp --python-version 3.11 \
    --platform "manylinux_2_28_$(uname -m)" --dest "$work" "onnxruntime==$version" || return 1
  python3 -m zipfile -e "$work"/onnxruntime-*.whl "$work/wheel" || return 1
  library=$work/wheel/onnxruntime/capi/libonnxruntime.so.$version
}

by_npm() {
  command -v npm >/dev/null || return 1
  (cd "$work" && npm pack --silent "onnxruntime-node@$version" >/dev/null) || return 1
  library=$work/package/bin/napi-v6/linux/$npm_folder/libonnxruntime.so.1
  tar -xzf "$work/onnxruntime-node-$version.tgz" -C "$work" "${library#"$work"/}" || return 1
}

echo "fetching ONNX Runtime $version"
if ! by_pip && ! by_npm; then
  echo "Neither pip nor npm brought ONNX Runtime $version; let SONDE_ONNXRUNTIME name the library if you have it." >&2
  exit 1
fi
sum=$(sha256sum "$library")
if [[ " ${sums[*]} " != *" ${sum%% *} "* ]]; then
  echo "ONNX Runtime $version has the unknown hash ${sum%% *}: not installed." >&2
  exit 1
fi
mkdir -p "$(dirname "$target")"
mv "$library" "$target"
