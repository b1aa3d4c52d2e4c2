# Islet. Each target does all of its own set-up; what is there already is left alone.
#
#   make demo    a clinic with made-up people on this machine, with addresses and log-ins
#   make test    formatting, lints, dependency rules, all tests
#   make lab     power cuts, kills and failing disks, in their long form (root)
#   make sim     the replication engine under random faults; SEEDS=N, SEED=FIRST
#   make bench   the measurements
#   make bench-wire  bytes per reading, beside other formats
#   make bench-sync  replication against its goals, and over a slow link (root)
#   make fmt     format the sources
#   make clean   remove what was built (not demo-data, not a node's data)

DATA ?= demo-data
# Kills and power cuts of `make lab`.
ROUNDS ?= 200
# Histories of `make sim`, and the first of them.
SEEDS ?= 100000
SEED ?= 0

.PHONY: demo test lab sim bench bench-wire bench-sync fmt deny clean
.DEFAULT_GOAL := demo

demo:
	@tools/setup-debian.sh demo
	cargo build --release --locked
	target/release/islet demo --data $(DATA)

test:
	@tools/setup-debian.sh test
	@tools/setup-python.sh
	@tools/setup-deny.sh
	@tools/test.sh

lab:
	@tools/setup-debian.sh lab
	ISLET_LAB_ROUNDS=$(ROUNDS) cargo test --locked --test durability -- --nocapture --include-ignored

sim:
	@tools/setup-debian.sh test
	ISLET_SIM_SEED=$(SEED) ISLET_SIM_SEEDS=$(SEEDS) cargo test --locked -p islet-sync --test sim whatever -- --nocapture

bench:
	@tools/setup-debian.sh demo
	cargo bench --locked

bench-wire:
	@tools/setup-debian.sh demo
	CARGO_TARGET_DIR=target/wire cargo run --release --locked --manifest-path benches/wire/Cargo.toml

bench-sync:
	@tools/setup-debian.sh demo
	cargo bench --locked --bench replication
	cargo bench --locked --bench replication -- slow

deny:
	@tools/setup-deny.sh
	.tools/bin/cargo-deny --locked check

fmt:
	cargo fmt --all

clean:
	cargo clean
	rm -rf .venv .tools
