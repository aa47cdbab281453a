# What a guest's script can use. Sourced by init.
# shellcheck shell=sh

# One line to dom0, which reads the console.
say() {
    printf "\nRIG %s\n" "$*" >/dev/console
}

# check TEXT COMMAND...: says whether the command succeeded.
check() {
    check_text=$1
    shift
    if "$@" >/tmp/check.log 2>&1; then
        say "ok $check_text"
    else
        say "FAIL $check_text"
        tail -n 12 /tmp/check.log
    fi
}

# refuses TEXT COMMAND...: says whether the command failed.
refuses() {
    check_text=$1
    shift
    if "$@" >/tmp/check.log 2>&1; then
        say "FAIL $check_text"
        tail -n 12 /tmp/check.log
    else
        say "ok $check_text"
    fi
}

# until_true SECONDS COMMAND...: tries it until it succeeds.
until_true() {
    until_left=$(($1 * 5))
    shift
    until "$@"; do
        until_left=$((until_left - 1))
        [ $until_left -gt 0 ] || return 1
        sleep 0.2
    done
}

# disk_appears DISK: waits for /dev/DISK.
disk_appears() {
    until_true 30 test -b "/dev/$1"
}

disk_is_gone() {
    ! test -b "/dev/$1"
}

# fio_verify DISK SEED [OPTION...]: the first 36 MiB of a disk written and read back, with a checksum in each block: random
# 4 KiB and sequential 1 MiB. Another seed makes other blocks. Dom0 checks the same blocks in the image with verify_image.
fio_verify() {
    fio_disk=$1 fio_seed=$2
    shift 2
    fio --output=/dev/null --ioengine=libaio --direct=1 --filename="$fio_disk" --verify=crc32c --verify_fatal=1 \
        --randseed="$fio_seed" "$@" --name=random --rw=randwrite --bs=4k --iodepth=32 --size=4m \
        --name=sequential --stonewall --rw=write --bs=1m --iodepth=4 --offset=4m --size=32m
}

# dom0_said WORD: whether the scenario has got that far.
dom0_said() {
    [ "$(xenstore-read data/rig 2>/dev/null)" = "$1" ]
}

# A file system made (not by busybox's mke2fs), filled, unmounted, checked, and read again.
file_system() {
    mkdir -p /mnt
    modprobe -a ext4 crc32c-generic || return 1
    /usr/sbin/mke2fs -q -t ext4 -F "$1" || return 1
    mount -t ext4 "$1" /mnt || return 1
    mkdir /mnt/copy
    cp /usr/lib/x86_64-linux-gnu/lib[a-c]* /bin/busybox /mnt/copy || return 1
    (cd /mnt/copy && md5sum ./*) >/tmp/sums || return 1
    umount /mnt || return 1
    /usr/sbin/e2fsck -fn "$1" || return 1
    mount -t ext4 -o ro "$1" /mnt || return 1
    (cd /mnt/copy && md5sum -c /tmp/sums) || return 1
    umount /mnt
}

# network_up [INTERFACE]: an address by DHCP.
network_up() {
    net_interface=${1:-eth0}
    modprobe xen-netfront
    until_true 30 test -d "/sys/class/net/$net_interface" || return 1
    ip link set "$net_interface" up || return 1
    udhcpc -i "$net_interface" -n -q -f -t 10 -T 2 -s /rig/dhcp
}

# iperf OPTION...: iperf3 against a server that may not have done with the one before: it says so, or is not there for a moment.
iperf() {
    iperf_tries=5
    until iperf3 "$@" >/tmp/iperf.log 2>&1; do
        cat /tmp/iperf.log
        iperf_tries=$((iperf_tries - 1))
        [ $iperf_tries -gt 0 ] && grep -q -E 'server is busy|Connection refused' /tmp/iperf.log || return 1
        sleep 1
    done
}

# fetches URL SUM: the file there has that MD5 sum.
fetches() {
    [ "$(wget -q -O - "$1" | md5sum | cut -d' ' -f1)" = "$2" ]
}

# serves: what it fetched it offers to others, who know the sum too.
serves() {
    mkdir -p /tmp/www
    wget -q -O /tmp/www/file "$1" && httpd -p 80 -h /tmp/www
}

# takes_address INTERFACE MAC
takes_address() {
    ip link set "$1" down && ip link set "$1" address "$2" && ip link set "$1" up
}

# is_held INTERFACE MAC NET NET6 OWN OTHER: checks that an interface with that address reaches NET.1 and NET6:1 (such as 10.9.0.1 and
# fd09::1) from OWN there, and neither from OTHER nor with another MAC address. It keeps the addresses of IPv4.
is_held() {
    for held_address in "$3.$5/24" "$3.$6/24" "$4:$5/64" "$4:$6/64"; do
        ip addr add "$held_address" dev "$1"
    done
    check "it sends from the address that xl was told" until_true 5 ping -c 1 -W 2 -I "$3.$5" "$3.1"
    check "and from that of IPv6" until_true 10 ping -6 -c 1 -W 2 -I "$4:$5" "$4:1"
    refuses "from no other" ping -c 2 -W 1 -I "$3.$6" "$3.1"
    refuses "nor over IPv6" ping -6 -c 2 -W 1 -I "$4:$6" "$4:1"
    takes_address "$1" "${2%??}99"
    refuses "nor with another MAC address" ping -c 2 -W 1 -I "$3.$5" "$3.1"
    takes_address "$1" "$2"
    check "with its own it goes on" until_true 5 ping -c 1 -W 2 -I "$3.$5" "$3.1"
}

interface_is_gone() {
    ! test -d "/sys/class/net/$1"
}
