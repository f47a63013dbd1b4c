#!/bin/sh
# Trains what is missing of all experiments, the most urgent first, and writes their reports.
#
#   tools/experiments.sh            # all; at low priority, so that it can run beside other work
#   tools/experiments.sh --dry-run  # only says what would be trained
#
# It can be stopped at any time, by Ctrl-C or by ending its process group: runs write checkpoints, and the next start goes on
# from them. Other arguments are those of `cargo xtask bench`, such as `--jobs 1`.
set -u
cd "$(dirname "$0")/.."
trap 'exit 130' INT TERM

# Task, configuration, and the data set where it does not come with the repository.
experiments='
detection regularization
detection warm-up-2
detection warm-up-5
classification regularization
classification photographs cifar10-jpeg
classification adam
crowd-counting regularization
classification batch-32
classification batch-128
classification batch-512
classification flow-1
classification flow-2
classification flow-4
detection photographs bccd
segmentation photographs camvid-240x180
crowd-counting photographs shanghaitech-b-320x240
'

# Whether the files of a data set are here.
here() {
    for folder in "${WRS_BENCH_DATA:-}" datasets datasets/.cache; do
        [ -n "$folder" ] && [ -d "$folder/$1/default" ] && return 0
    done
    return 1
}

failed=0
# Not through a pipe: the loop must end the script.
while read -r task config data; do
    [ -n "$task" ] || continue
    if [ -n "$data" ] && ! here "$data"; then
        echo "skipped $task/$config: expected the files of $data in \$WRS_BENCH_DATA/$data/default, found none" >&2
        echo "  hint: datasets/README.md says which columns they have; \`cargo xtask fetch --list\` and \`cargo xtask import\`" >&2
        echo "  tell what can be had of the set's relatives, for \`--set dataset=NAME\`" >&2
        continue
    fi
    echo "$task/$config" >&2
    nice -n 19 cargo xtask bench "$task" --config "$config" "$@" </dev/null
    case $? in
        0) ;;
        75 | 130 | 143) exit 75 ;;
        *) failed=1 ;;
    esac
done <<EOF
$experiments
EOF
exit $failed
