# What the benchmarks share: arguments, the image, one run of fio. Sourced, not run.
# shellcheck shell=bash
set -eu -o pipefail
export LC_ALL=C # numbers with points

root=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/..
rounds=3
seconds=3
size_mib=256
json=
cleaners=()

# name of the job, fio's rw, block size, queue depth
jobs_table="\
4k-randread-qd32 randread 4k 32
4k-randwrite-qd32 randwrite 4k 32
128k-read-qd8 read 128k 8
4k-randread-qd1 randread 4k 1"

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

needs() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || die "$tool is missing; install it with: sudo $root/scripts/install-packages"
    done
}

# Takes the options that all benchmarks have; leaves others to the caller, in $option and $value.
# Returns 1 if the option is not one of them.
common_option() {
    case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --size-mib) size_mib=$2 ;;
        *) return 1 ;;
    esac
    case $2 in
        '' | *[!0-9]* | 0) die "$1 takes a number above 0" ;;
    esac
}

clean_up() {
    local i
    for ((i = ${#cleaners[@]} - 1; i >= 0; i--)); do
        eval "${cleaners[i]}" || true
    done
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Makes $work, a directory that is removed at the end, and in it $image, all of it data and in the page cache.
make_image() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/xenback-bench.XXXXXX")
    cleaners+=('rm -rf "$work"')
    image=$work/disk.img
    head -c "$((size_mib << 20))" /dev/urandom >"$image"
    sync "$image"
}

# run_fio RW BS QD ENGINE-OPTION...: prints "iops bytes-per-second requests" of one run, to the second exact. The file stays in the
# page cache, of which fio would empty it.
run_fio() {
    local rw=$1 bs=$2 qd=$3
    shift 3
    # Fields of terse version 3 (fio's HOWTO, "Terse output"): 5 error; read: 7 KiB/s, 8 IOPS, 9 ms; write: 48, 49, 50.
    fio --name=job --rw="$rw" --bs="$bs" --iodepth="$qd" --size="${size_mib}m" --time_based --runtime="$seconds" \
        --invalidate=0 --randrepeat=0 --norandommap --thread --output-format=terse --terse-version=3 "$@" |
        awk -F ';' '
            $1 == 3 {
                if ($5 != 0) { print "fio failed with error " $5 > "/dev/stderr"; exit 1 }
                iops = $8 + $49; kib = $7 + $48; ms = $8 > 0 ? $9 : $50; found = 1
                printf "%.1f %.0f %.0f\n", iops, kib * 1024, iops * ms / 1000
            }
            END { exit !found }'
}

# Builds the program, with what it says kept for the case that it fails; after make_image.
build() {
    "$root/dev" build >"$work/build" || { cat "$work/build" && die "the build failed"; }
}

# run_bench CLASS ARGUMENT...: a class of the module bench, in a JVM as the program's.
run_bench() {
    local class=$1
    shift
    "$("$root/scripts/find-jdk")/bin/java" "@$root/scripts/jvm-options" --enable-native-access=ALL-UNNAMED \
        -XX:+UseSerialGC -Xmx64m \
        -cp "$root/xen/target/classes:$root/block/target/classes:$root/bench/target/classes" "xenback.bench.$class" "$@"
}

# run_xbd IMAGE RW BS QD LOOPS FEATURES: prints what XbdLoad says of one run
run_xbd() {
    run_bench XbdLoad "$1" "$2" "$3" "$4" "$seconds" 4 "$5" "$6"
}

# median of the numbers on standard input
median() {
    sort -n | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

machine() {
    printf '%s, %s CPUs, Linux %s, %s, %s rounds of %s s, %s MiB image\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(uname -r)" "$(fio --version)" \
        "$rounds" "$seconds" "$size_mib"
}
