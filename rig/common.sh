# Paths and functions that rig/build and rig/run share. Sourced, not run.
# shellcheck shell=bash disable=SC2034

rig=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
root=$(dirname -- "$rig")
cache=${XENBACK_CACHE:-${HOME:-/root}/.cache/xenback}
out=$rig/out
suite=bookworm

# Everything that decides what is in the image decides its name, so a changed recipe makes a new image by itself.
recipe_hash() {
    { echo "$suite"; cat "$rig"/recipe/*; } | sha256sum | cut -c1-16
}
image=$cache/rig-$(recipe_hash)

die() {
    echo "rig: $*" >&2
    exit 1
}
