#!/usr/bin/env bash
# Looks for memory errors in the kernels of `ops`: their tests on every instruction set of the machine under
# AddressSanitizer, and on the portable one under Miri where a nightly toolchain with Miri is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(rustc -vV | sed -n 's/^host: //p')

# The sanitizer comes with stable toolchains, too, behind a flag of nightly ones. With a build folder of its
# own, as all crates are compiled anew.
# Tests ask for more memory than there is, and expect an error.
export ASAN_OPTIONS=allocator_may_return_null=1
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_INCREMENTAL=0 PROPTEST_CASES="${PROPTEST_CASES:-16}" \
    cargo test -p regularize-ops --lib --tests --target "$target" --target-dir target/sanitize

if cargo +nightly miri --version >/dev/null 2>&1; then
    # Miri knows no AVX-512, and is slow: a few cases of the convolution say most.
    OPS_KERNELS=portable PROPTEST_CASES=4 MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks" \
        cargo +nightly miri test -p regularize-ops --lib
else
    echo "no nightly toolchain with Miri: left out" >&2
fi
