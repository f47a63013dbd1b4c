#!/usr/bin/env bash
# Gives every parser arbitrary bytes: tools/fuzz.sh [RUNS [TARGET…]], by default a million inputs for each target.
# Fails where one panics, takes over 10 seconds, or over 1 GiB of memory. Needs `cargo install cargo-fuzz`.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-1000000}
shift $(($# > 0 ? 1 : 0))
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(cargo fuzz list)
fi

# The flags that cargo-fuzz needs are of nightly toolchains; no code of this project is unsafe here, so no sanitizer.
export RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target"
    # Small examples of each format are where it starts.
    if [ "$target" = manifest ]; then
        cp datasets/*.toml fuzz/corpus/manifest
    fi
    case $target in
    configuration) for file in configs/*/*.toml; do cp "$file" "fuzz/corpus/$target/$(basename "$(dirname "$file")")-${file##*/}"; done ;;
    record) head -n 1 reports/records/classification.jsonl >"fuzz/corpus/$target/classification" ;;
    esac
    seeds=("fuzz/corpus/$target")
    if [ -d "fuzz/seeds/$target" ]; then
        seeds+=("fuzz/seeds/$target")
    fi
    cargo fuzz run --sanitizer none "$target" "${seeds[@]}" -- \
        -runs="$runs" -max_len=65536 -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=1024 -print_final_stats=1
done
