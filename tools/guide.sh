#!/usr/bin/env bash
# Runs the commands of chapters of the guide: all blocks that begin with ```sh run, in order, in a copy of the repository.
# Afterwards the files that `<!-- expect: … -->` names must exist. Each chapter begins with a fresh copy.
#
#     cargo build --workspace && tools/guide.sh docs/first-table.md
#
# Nothing is compiled: `cargo xtask` and the tasks are the debug binaries that were built. A chapter that adds a task or a method
# needs binaries that already have it; $GUIDE_COPY is then a copy of the repository that has not.
set -euo pipefail
cd "$(dirname "$0")/.."

binaries=$(realpath "${CARGO_TARGET_DIR:-target}")/debug
original=${GUIDE_COPY:-.}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What a reader types as `cargo xtask` without compiling it once more.
mkdir "$scratch/bin"
cat >"$scratch/bin/cargo" <<END
#!/usr/bin/env bash
[ "\$1" = xtask ] || { echo "error: expected \\\`cargo xtask\\\` in the guide, found \\\`cargo \$1\\\`" >&2; exit 1; }
exec "$binaries/xtask" "\${@:2}"
END
chmod +x "$scratch/bin/cargo"

for chapter in "$@"; do
    echo "-- $chapter ($SECONDS s)"
    copy=$scratch/copy
    rm -rf "$copy"
    mkdir "$copy"
    tar -C "$original" -c --exclude=./target --exclude=./runs --exclude=./.git --exclude=./datasets/.cache . | tar -x -C "$copy"
    awk '/^```sh run$/ { inside = 1; found = 1; next } /^```$/ { inside = 0 } inside; END { exit !found }' "$chapter" \
        >"$scratch/commands" || { echo "error: expected blocks \`\`\`sh run in $chapter, found none" >&2; exit 1; }
    (
        cd "$copy"
        PATH=$scratch/bin:$PATH WRS_BENCH_BIN=$binaries bash -euo pipefail "$scratch/commands"
        for path in $(sed -n 's/^<!-- expect: \(.*\) -->$/\1/p' "$chapter"); do
            [ -e "$path" ] || { echo "error: $chapter should have left $path" >&2; exit 1; }
        done
    )
done
