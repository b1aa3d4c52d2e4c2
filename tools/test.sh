#!/usr/bin/env bash
# Runs every part of the tests, goes on after a part that failed, and says at the end how each
# went. What a part printed is in target/test-results/. Non-zero when any part failed.
set -euo pipefail
cd "$(dirname "$0")/.."

results=target/test-results
rm -rf "$results" target/skipped-tests.txt
mkdir -p "$results"

# part NAME MINUTES COMMAND...: a part that takes longer is stopped and has failed.
part() {
  local name=$1 minutes=$2 status=0
  shift 2
  echo "== $name: $*"
  timeout --kill-after=10 "${minutes}m" "$@" 2>&1 | tee "$results/$name.log" || status=$?
  echo "$status" > "$results/$name.exit"
}

part fmt 1 cargo fmt --all --check
part clippy 20 cargo clippy --workspace --all-targets --locked -- -D warnings
part deny 2 .tools/bin/cargo-deny --locked check bans licenses sources
part rust 40 cargo test --workspace --locked --no-fail-fast
part build 10 cargo build --locked
part schemathesis 10 .venv/bin/python -m pytest -q -p no:cacheprovider tests/schemathesis \
  --junitxml="$results/schemathesis.xml"
part browser 5 .venv/bin/python -m pytest -q -p no:cacheprovider tests/browser \
  --junitxml="$results/browser.xml"

python3 tools/summary.py
