#!/usr/bin/env bash
# The labs of tests/durability in their long form: kills, power cuts, failing and full disks, and a
# report on what a reading costs the disk. Needs root for loop devices and mounts.
set -euo pipefail
cd "$(dirname "$0")/.."

export ISLET_LAB_ROUNDS=${ISLET_LAB_ROUNDS:-200}
cargo test --locked --test durability -- --include-ignored --nocapture --test-threads=1
