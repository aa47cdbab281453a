# What scenarios that compare backends share, in dom0: what jobs cost, where the time goes, and the table. Sourced by them.
# shellcheck shell=bash
#
# They set: seconds and ramp of a job; profile ("yes": perf samples
# dom0 in each job on xenback); round, the number of this one.

# ticks: "thread-number name user system" of each thread of the backend, in hundredths of a second.
ticks() {
    sed -E 's/^([0-9]+) \((.*)\) (.*)$/\1 \2 \3/; s/ +/ /g' /proc/"$backend"/task/*/stat |
        awk '{ name = $2; for (i = 3; i <= NF - 50; i++) name = name "_" $i; print $1, name, $(NF - 38), $(NF - 37) }'
}

# seconds DOMAIN: processor time that it has had so far.
processor() {
    xl list "$1" | awk 'NR == 2 { print $NF }'
}

# compiling: hundredths of a second that the backend's compilers have had so far.
compiling() {
    ticks | awk '$2 ~ /Compiler/ { sum += $3 + $4 } END { print sum + 0 }'
}

# warm_up PEER GUEST SECONDS: lets the guest repeat its jobs for that long, and on xenback until its compilers take less than a
# fiftieth of a processor: a backend lives for months, and compiles in its first minutes. At most five minutes.
warm_up() {
    local peer=$1 guest=$2 before now turn
    guest_awaits "$guest" 'warms up' 90
    for ((turn = 0; turn * $3 < 300; turn++)); do
        [ "$peer" != xenback ] || before=$(compiling)
        sleep "$3"
        [ "$peer" = xenback ] || break
        now=$(compiling)
        note "$peer compiled for $((now - before)) hundredths of $3 s"
        [ $((now - before)) -ge $((2 * $3)) ] || break
    done
    guest_tell "$guest" warm
}

# watch_jobs PEER GUEST JOB...: what each job costs dom0 and the guest, in processor seconds per second; and on demand where dom0's
# time goes while it runs on xenback. The guest says "begins JOB" and goes on when it is told JOB. perf's report can name compiled
# Java only once the JVM has ended.
watch_jobs() {
    local peer=$1 guest=$2 job began dom0 domu
    shift 2
    for job; do
        guest_awaits "$guest" "begins $job" 90
        sleep "$ramp"
        dom0=$(processor 0) domu=$(processor "$guest") began=$(cut -d' ' -f1 /proc/uptime)
        [ "$peer" != xenback ] || ticks >"/run/ticks.$job"
        if [ "$peer$profile" = xenbackyes ]; then
            perf record -q -F 499 -a -o "/run/perf.$job" -- sleep "$((seconds - 1))"
        else
            sleep "$((seconds - 1))"
        fi
        [ "$peer" != xenback ] || ticks | sort -k1,1 | join - <(sort -k1,1 "/run/ticks.$job") |
            awk '{ if ($3 + $4 > $6 + $7) print $2, "user", $3 - $6, "system", $4 - $7 }' >"$logs/$job-$round.threads"
        echo "$peer $job $began $dom0 $domu $(cut -d' ' -f1 /proc/uptime) $(processor 0) $(processor "$guest")" |
            awk '{ t = $6 - $3; printf "%s %s dom0 %.2f guest %.2f\n", $1, $2, ($7 - $4) / t, ($8 - $5) / t }' >>"$logs/processor"
        guest_tell "$guest" "$job" # perf takes a while to write down what it saw
    done
}

# profiled_start, profiled_stop: the backend, such that perf can name what it runs.
profiled_start() {
    [ -z "$profile" ] || XENBACK_JAVA_OPTS="${XENBACK_JAVA_OPTS:-} -XX:+PreserveFramePointer -XX:+UnlockDiagnosticVMOptions -XX:+DumpPerfMapAtExit"
    backend_start
}

profiled_stop() {
    backend_stop
    [ -z "$profile" ] || report_jobs
}

report_jobs() {
    local file
    for file in /run/perf.*; do
        [ -e "$file" ] || continue
        perf report -i "$file" --sort comm,dso,symbol --percent-limit 0.3 --stdio >"$logs/${file##*.}.flat" 2>/dev/null
        perf report -i "$file" --sort comm --stdio >"$logs/${file##*.}.comm" 2>/dev/null
        rm "$file"
    done
}

# table NAME UNIT PEER...: medians of each job from lines "peer job figure" on standard input, and how many times each other peer's
# the last one's are.
table() {
    # shellcheck disable=SC2016
    awk -v name="$1" -v unit="$2" -v peers="${*:3}" '
        function median(list,   n, part, i, j, t) {
            n = split(list, part, " ")
            for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (part[j] + 0 < part[i] + 0) { t = part[i]; part[i] = part[j]; part[j] = t }
            return n % 2 ? part[(n + 1) / 2] : (part[n / 2] + part[n / 2 + 1]) / 2
        }
        { value[$1, $2] = value[$1, $2] " " $3; if (!seen[$2]++) jobs[++count] = $2 }
        END {
            n = split(peers, peer, " ")
            printf "%s: %-20s", name, "median, " unit
            for (i = 1; i <= n; i++) printf " %14s", peer[i]
            for (i = 1; i < n; i++) printf " %17s", "of " peer[i]
            for (k = 1; k <= count; k++) {
                printf "\n%s: %-20s", name, jobs[k]
                for (i = 1; i <= n; i++) printf " %14.1f", m[i] = median(value[peer[i], jobs[k]])
                for (i = 1; i < n; i++) printf " %17.2f", m[i] ? m[n] / m[i] : 0
            }
            print ""
        }'
}
