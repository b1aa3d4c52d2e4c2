#!/usr/bin/env bash
# Installs cargo-deny into .tools, when it is not there. Takes some minutes, once.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
if [ -x .tools/bin/cargo-deny ] && .tools/bin/cargo-deny --version | grep -qF "$version"; then
  exit 0
fi
echo "Building cargo-deny $version"
CARGO_TARGET_DIR=.tools/build cargo install --quiet --locked --root .tools \
  "cargo-deny@$version"
rm -rf .tools/build
