# What a scenario can use, in dom0. Sourced by rig/dom0/scenario.
# shellcheck shell=bash

images=/run/images
consoles=/out/consoles # in it guest-NAME.log

ok() {
    verdict ok "$1"
}

fail() {
    verdict FAIL "$1"
}

# check TEXT COMMAND...: a verdict by the command's status; its output goes to the log.
check() {
    local text=$1
    shift
    if "$@"; then ok "$text"; else fail "$text"; fi
}

# A failure that leaves nothing to go on with; what xenstore has then is in the scenario's directory.
give_up() {
    fail "$1"
    timeout 15 xenstore-ls -f >"$logs/xenstore" 2>&1 || true # it may be xenstored that is gone
    exit 0
}

# until_true SECONDS COMMAND...: tries it until it succeeds.
until_true() {
    local limit=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $limit ] || return 1
        sleep 0.2
    done
}

# image NAME MIB: makes an empty image on tmpfs and sets $image to its path.
image() {
    image=$images/$1
    truncate -s "$2M" "$image"
}

# disk VDEV IMAGE [ACCESS]: what xl needs to hear for a disk of ours.
disk() {
    echo "format=raw,vdev=$1,access=${3:-rw},script=block-xenback,target=$2"
}

# backend_start [OPTION...]: has the program serve; $backend is its process, backend_log what it says from now on. One that serves
# already, for an earlier scenario, goes on: its start takes ten seconds under emulation, and a backend lives long. Options make a
# new one.
backend_start() {
    if backend_is_there && { [ $# -gt 0 ] || [ -n "${XENBACK_JAVA_OPTS:-}" ]; }; then backend_stop; fi
    if ! backend_is_there; then
        rm -f /run/backend.status
        # With its own group, so that a scenario's time-out is not its end; the status is for whoever stops it.
        # shellcheck disable=SC2016
        XENBACK_JAVA_OPTS="-XX:ErrorFile=/out/hs_err.log ${XENBACK_JAVA_OPTS:-}" setsid bash -c '
            xenback serve --xen host --kind vbd,vbd3,vif "$@" & echo $! >/run/backend.pid; wait $!; echo $? >/run/backend.status
            ' backend "$@" >/out/backend.log 2>&1 </dev/null &
    fi
    # Also one that an earlier scenario has given up: it may be slow, and the toolstack waits ten seconds for a device of its.
    until_true 60 backend_serves || give_up "xenback did not begin to serve; its log ends: $(tail -n 1 /out/backend.log)"
    note "the backend serves"
    backend=$(cat /run/backend.pid)
    backend_said=$(wc -l </out/backend.log)
}

backend_is_there() {
    [ -s /run/backend.pid ] && kill -0 "$(cat /run/backend.pid)" 2>/dev/null
}

backend_serves() {
    backend_is_there && grep -q 'serving backend/vif' /out/backend.log
}

# What the backend has said since the scenario began with it.
backend_log() {
    tail -n +$((backend_said + 1)) /out/backend.log
}

# Ends it as systemd would, and checks that it went well.
backend_stop() {
    kill "$(cat /run/backend.pid)"
    until_true 20 test -s /run/backend.status || fail "the backend did not end on SIGTERM"
    check "the backend ends cleanly on SIGTERM" grep -qx 0 /run/backend.status
    rm -f /run/backend.pid
}

# no_error_nodes: the backend has nothing to say against a device.
no_error_nodes() {
    ! xenstore-ls -f /local/domain/0/error/backend 2>/dev/null | grep -q 'error = '
}

# guest_brings_xenback NAME: a guest that is yet to be started has the program in its image, as a driver domain.
guest_brings_xenback() {
    local root=/run/guests/$1 library
    mkdir -p "$root/opt/xenback" "$root/usr/local/bin"
    cp -rL /opt/xenback/jre /opt/xenback/lib /opt/xenback/xenback-daemon.jar /opt/xenback/jvm-options "$root/opt/xenback/"
    cp /usr/local/bin/xenback "$root/usr/local/bin/"
    for library in libc.so.6 libdl.so.2 libm.so.6 libpthread.so.0 librt.so.1; do # Java's
        install -D "/lib/x86_64-linux-gnu/$library" "$root/usr/lib/x86_64-linux-gnu/$library"
    done
}

# guest_prepare NAME TYPE DISK...: writes a guest's configuration; its script is standard input.
guest_prepare() {
    local name=$1 type=$2 dir=/run/guests/$1 disks='' processor disk
    shift 2
    for disk; do disks="$disks'$disk',"; done
    # Dom0 has 0 and 1 for itself, and emulation wants domains apart (see rig/run): the first guest has 2, one beside it 3.
    if [ -n "$(guests)" ]; then
        processor=3
    elif [ "${guest_vcpus:-1}" -gt 1 ]; then
        processor=2-3
    else
        processor=2
    fi
    mkdir -p "$dir/rig"
    cp /source/rig/guest/init "$dir/init"
    chmod 755 "$dir/init"
    cp /source/rig/guest/lib.sh /source/rig/guest/dhcp "$dir/rig/"
    cat >"$dir/rig/script"
    # The kernel unpacks archives that follow one another. Without a size, cpio writes 512 bytes at a time.
    (cd "$dir" && find . -print0 | cpio --quiet -0 -o -H newc --io-size=65536) | cat /guest/initramfs.cpio - >"$dir.initrd"
    rm -rf "$dir"
    cat >"$dir.cfg" <<END
name="$name"
type="$type"
kernel="/guest/vmlinux"
ramdisk="$dir.initrd"
extra="console=hvc0 quiet panic=1 mitigations=off"
memory=${guest_memory:-512}
vcpus=${guest_vcpus:-1}
cpus="$processor"
on_poweroff="destroy"
on_reboot="destroy"
on_crash="destroy"
disk=[$disks]
${guest_extra:-}
END
}

# guest_create NAME: xl create, as its user would; its words go to $logs/NAME.xl.
guest_create() {
    rm -f "$consoles/guest-$1.log"
    timeout 100 xl create "/run/guests/$1.cfg" </dev/null >"$logs/$1.xl" 2>&1
}

# guest_start NAME TYPE DISK... <script: both, and the scenario ends if the guest does not start.
guest_start() {
    guest_prepare "$@"
    note "guest $1 is prepared"
    guest_create "$1" || give_up "xl create $1 fails: $(grep -m1 error: "$logs/$1.xl")"
    note "guest $1 is created"
}

# Guests say "RIG ..." on their console, see guest/lib.sh. One process, for it is asked again and again beside the guest.
guest_said() {
    grep -q -s "^RIG $2" "$consoles/guest-$1.log"
}

# guest_awaits NAME TEXT SECONDS: waits until the guest has said it.
guest_awaits() {
    until_true "$3" guest_said "$1" "$2" && return
    tr -d '\r' <"$consoles/guest-$1.log" | tail -n 20
    give_up "guest $1 did not say '$2' within $3 s"
}

guest_is_gone() {
    ! xl domid "$1" >/dev/null 2>&1
}

# guest_end NAME SECONDS: waits until the guest has powered itself off, and takes its verdicts over.
guest_end() {
    local line done=
    until_true "$2" guest_is_gone "$1" || fail "guest $1 did not end within $2 s"
    while read -r line; do
        case $line in
            'RIG ok '*) ok "${line#RIG ok }" ;;
            'RIG FAIL '*) fail "${line#RIG FAIL }" ;;
            'RIG end') done=yes ;;
        esac
    done < <(tr -d '\r' <"$consoles/guest-$1.log")
    if [ -z "$done" ]; then
        tr -d '\r' <"$consoles/guest-$1.log" | tail -n 20
        fail "guest $1 did not reach the end of its script"
    fi
}

# guest_tell NAME WORD: a guest waits for it with dom0_said.
guest_tell() {
    xenstore-write "/local/domain/$(xl domid "$1")/data/rig" "$2"
}

# verify_image IMAGE SEED [OPTION...]: what fio_verify wrote in a guest is what is in the file.
verify_image() {
    local image=$1 seed=$2
    shift 2
    fio --output=/dev/null --ioengine=psync --filename="$image" --verify=crc32c --verify_fatal=1 --verify_only \
        --randseed="$seed" "$@" --name=random --rw=randwrite --bs=4k --size=4m \
        --name=sequential --stonewall --rw=write --bs=1m --offset=4m --size=32m
}

backend_lives() {
    kill -0 $backend
}

# holds FILE: whether the backend has the file open.
holds() {
    find "/proc/$backend/fd" -lname "$1" | grep -q .
}

lets_go_of() {
    ! holds "$1"
}

# vbds [DOMID]: the backend nodes of all block devices, or of one guest's; prints nothing when all is cleared away.
vbds() {
    xenstore-ls -f "/local/domain/${vbds_in:-0}/backend/vbd${1:+/$1}" 2>/dev/null
}

no_vbds() {
    [ -z "$(vbds "$@")" ]
}

# What a leak would make grow, one figure a line.
holdings() {
    echo "descriptors $(find "/proc/$backend/fd" -mindepth 1 | wc -l)"
    echo "mappings-of-grants $(grep -c gntdev "/proc/$backend/maps")"
    echo "event-channels-to-guests $(lsevtchn 0 | grep -c 'Remote Domain [1-9]')"
    echo "store-nodes $( (vbds && vifs) | wc -l)"
}

# works_as TYPE: what a guest of a type must be able to do with two disks, from its first request to the image afterwards.
works_as() {
    local data system
    image data.raw 64
    data=$image
    image system.raw 64
    system=$image
    backend_start
    guest_start work "$1" "$(disk xvda "$data")" "$(disk xvdb "$system")" <<'END'
check "the guest sees two disks" eval 'disk_appears xvda && disk_appears xvdb'
check "fio writes at random and in sequence, and reads back what it wrote" fio_verify /dev/xvda 7
check "a file system is made, filled, checked and read again" file_system /dev/xvdb
END
    guest_end work 150
    check "the image has what the guest wrote" verify_image "$data" 7
    check "the image's file system is clean in dom0 too" e2fsck -fn "$system"
    check "no device is left in xenstore" until_true 10 no_vbds
    check "the backend has closed the image" until_true 10 lets_go_of "$data"
}

# The last words of every scenario.
finish() {
    [ -n "${backend:-}" ] || return 0
    backend_log >"$logs/backend.log"
    [ ! -s /run/backend.pid ] || backend_is_there || fail "the backend died; its log ends: $(tail -n 1 "$logs/backend.log")"
    if grep -q -E 'a fault of this program|^[[:space:]]+at [a-z].*\(' "$logs/backend.log"; then
        fail "the backend's log has a stack trace"
    fi
}
