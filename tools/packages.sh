#!/usr/bin/env bash
# Packages the crates that are for others as `cargo publish` would, and has a crate outside of the workspace,
# examples/own-loop, depend on the packages and train. Publishes nothing; the first command without `--dry-run` would.
set -euo pipefail
cd "$(dirname "$0")/.."

# In the order of their dependencies.
crates=(regularize-kernels regularize-random regularize-settings regularize-ops regularize)

CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Not verified, which would compile all dependencies again: the example compiles what they contain.
cargo publish --quiet --dry-run --no-verify --allow-dirty "${crates[@]/#/--package=}"
cargo package --quiet --no-verify --allow-dirty "${crates[@]/#/--package=}"

patches=()
for crate in "${crates[@]}"; do
    package=$crate-$(cargo pkgid --package "$crate" | sed 's/.*[#@]//')
    tar -xzf "$CARGO_TARGET_DIR/package/$package.crate" -C "$scratch"
    patches+=(--config "patch.crates-io.$crate.path='$scratch/$package'")
    for file in LICENSE-APACHE LICENSE-MIT README.md; do
        if [ ! -s "$scratch/$package/$file" ]; then
            echo "error: expected $file in the package of $crate, found none" >&2
            exit 1
        fi
    done
    # A change of what others see needs a new version.
    if cargo info --quiet --registry crates-io "$crate" >/dev/null 2>&1; then
        cargo semver-checks --version >/dev/null 2>&1 || cargo install cargo-semver-checks --locked
        cargo semver-checks --package "$crate"
    else
        echo "skipped: no version of $crate is published, so none is compared"
    fi
done

# With the versions, features and profile of the workspace, so that no dependency is compiled again. What was packaged is, but
# unoptimized.
cp -r examples/own-loop "$scratch"
cp Cargo.lock "$scratch/own-loop"
{
    printf '\n[dependencies.workspace-hack]\npath = "%s/crates/workspace-hack"\n\n' "$PWD"
    sed -n '/^\[profile\.dev\]/,/^\[profile\.release\]/p' Cargo.toml | sed '/^regularize/s/= 3$/= 0/'
} >>"$scratch/own-loop/Cargo.toml"
cargo run --quiet --manifest-path "$scratch/own-loop/Cargo.toml" "${patches[@]}"
