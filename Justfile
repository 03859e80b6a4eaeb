# Recipes for those who work on ctrs. `./quickstart` and `./test` are all a user needs.

default:
    @just --list

build:
    cargo build --release --workspace

fmt:
    cargo fmt --all

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --features ctrs/failpoints -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

# What needs no root.
test:
    cargo test --workspace -- --skip root_

# Everything.
test-root:
    ./test

# The privileged tests in the VM: cgroup v2, with crun and with runc.
test-vm *names:
    ./scripts/test-vm {{names}}

# ctrs, runc and podman side by side.
bench runs="30":
    ./scripts/bench {{runs}}

# Sizes of the programs.
sizes:
    cargo build --release --workspace
    cargo rustc -p ctr-monitor --bin ctrs-monitor --profile monitor -- -C target-feature=+crt-static
    ls -l target/release/ctrs target/release/ctrs-monitor target/*/ctrs-monitor

ci:
    ./.ci/run

# The same command lines on ctrs and podman.
test-contract:
    cargo test -p ctrs --features failpoints --test contract

# Sixteen commands on one container, a hundred times.
test-concurrency rounds="100":
    CTRS_ROUNDS={{rounds}} cargo test -p ctrs --features failpoints --test concurrency

# The model world: a million interleavings of commands, monitors and crashes.
model runs="1000000":
    CTRS_MODEL_RUNS={{runs}} cargo test --release -p ctr-core --lib g16_no_interleaving
