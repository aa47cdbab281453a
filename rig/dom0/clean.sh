# How a scenario's end leaves dom0 for the next one. Sourced.
# shellcheck shell=bash

# note TEXT: a line for the log, with dom0's uptime.
note() {
    local uptime # read without a process, which takes a fifth of a second here
    read -r uptime _ </proc/uptime
    echo "== $uptime s: $1"
}

# verdict ok|FAIL TEXT: the line that rig/run prints and counts.
verdict() {
    # shellcheck disable=SC2154
    printf '%s %s: %s\n' "$1" "$scenario" "$2" >>/out/verdicts
    note "$1: $2"
}

guests() {
    xl list | awk 'NR > 1 && $2 != 0 { print $2 }'
}

# What every scenario must leave in order, and what the next one must not find.
clean() {
    local domid problem count
    note "cleaning up"
    for domid in $(guests); do timeout 30 xl destroy "$domid"; done
    losetup -D
    ! grep -q '^xen_blkback ' /proc/modules || rmmod xen-blkback
    rm -rf /run/images/* /var/images
    mv /out/consoles/* "$logs/" 2>/dev/null
    cp /var/log/xen/*.log "$logs/" 2>/dev/null
    rm -f /var/log/xen/*.log
    dmesg -c >"$logs/dom0-kernel.log"
    xl dmesg -c >"$logs/xen.log"
    problem=$(grep -m1 -E 'BUG:|Oops|WARNING:|Call Trace|blocked for more than' "$logs/dom0-kernel.log")
    [ -z "$problem" ] || verdict FAIL "dom0's kernel complains: $problem"
    for ((count = 0; count < 50; count++)); do
        [ -n "$(guests)" ] || return 0
        sleep 0.1
    done
    verdict FAIL "a destroyed guest stays in the list (its memory is still mapped): $(xl list | tail -n 1)"
}
