#!/usr/bin/env bash
# Every benchmark beside its peer or a bare client, in one run on this machine: only the ratios say something.
# Needs Java and Kafka's jars (`cargo xtask bench` fetches them). Loads are bounded and stay on loopback.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked -p millrace-stream -p millrace-batch -p millrace-whisk -p millrace-harness --bins --examples -p millrace-analytics
for name in bench_gateway bench_detect bench_dispatch bench_archive bench_materialize bench_score bench_load bench_whisk; do
  printf '\n== %s\n' "$name"
  "${CARGO_TARGET_DIR:-target}/release/examples/$name"
done
printf '\n== bench_druid\n'
cargo run --release --locked -p millrace-operator --example bench_druid
printf '\n== decoding and rules, without any client\n'
cargo run --release --locked -p millrace-analytics --example throughput
