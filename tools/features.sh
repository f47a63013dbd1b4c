#!/usr/bin/env bash
# Checks that each package alone has its dependencies compiled with the features that the workspace compiles them with.
# Where they differ, cargo compiles dependencies again for each package that is built. Compiles nothing itself.
# With --build, also that cargo finds nothing to compile in any package; first build and test the workspace.
set -euo pipefail
cd "$(dirname "$0")/.."

# Libraries for others depend on nothing that only this workspace wants: their tests, examples and benchmarks are
# compiled as the workspace is, but not the libraries alone.
libraries=" cuda regularize regularize-kernels regularize-ops regularize-random regularize-settings "

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# dependencies EDGES PACKAGES: a line "NAME vVERSION|FEATURES" for each way in which one is compiled.
dependencies() {
    cargo tree --quiet --edges "$1" --prefix none --format '{p}|{f}' "${@:2}" | sed -n 's/ (\*)$//; /|/p' | sort -u
}

# Of the second file's lines, those that the first has not, and the features that they lack.
differences() {
    awk -F'|' '
        NR == FNR { known[$0]; features[$1] = features[$1] "," $2; next }
        $0 in known { next }
        {
            printf "  %s lacks", $1
            split("", seen)
            n = split($2, own, ",")
            for (i = 1; i <= n; i++) seen[own[i]]
            n = split(features[$1], all, ",")
            for (i = 1; i <= n; i++) if (all[i] != "" && !(all[i] in seen)) { seen[all[i]]; printf " %s", all[i] }
            print ""
        }' "$1" "$2"
}

# compare WHAT EDGES PACKAGE: an error where what the package builds lacks features.
compare() {
    dependencies "$2" --package "$3" >"$scratch/package"
    differences "$scratch/$1" "$scratch/package" >"$scratch/differences"
    if [ -s "$scratch/differences" ]; then
        echo "error: expected \`$3\` to have the same features $1 alone as with the workspace, but" >&2
        cat "$scratch/differences" >&2
        failed=yes
    fi
}

# build PACKAGE ARGUMENT...: an error where `cargo ARGUMENT... --package PACKAGE` compiles something.
build() {
    if ! cargo "${@:2}" --package "$1" >"$scratch/cargo" 2>&1 || grep -q Compiling "$scratch/cargo"; then
        echo "error: expected \`cargo ${*:2} --package $1\` to find all of it compiled, found" >&2
        cat "$scratch/cargo" >&2
        exit 1
    fi
}

packages=$(cargo tree --quiet --workspace --depth 0 --prefix none | awk 'NF { print $1 }')
failed=no
dependencies normal,build --workspace >"$scratch/built"
dependencies normal,build,dev --workspace >"$scratch/tested"
for package in $packages; do
    [[ $libraries == *" $package "* ]] || compare built normal,build "$package"
    compare tested normal,build,dev "$package"
done
if [ $failed = yes ]; then
    echo "Add the features to crates/workspace-hack-light if record, xtask or what they are made of lack them, else to crates/workspace-hack;" >&2
    echo "to [dev-dependencies] if only tests lack them, or to [workspace.dependencies] if the package names the crate." >&2
    exit 1
fi
[ "${1:-}" = --build ] || exit 0
for package in $packages; do
    [[ $libraries == *" $package "* ]] || build "$package" build
    build "$package" test --no-run
done
