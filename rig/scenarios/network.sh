# What a scenario about interfaces can use, in dom0. Sourced by rig/dom0/scenario.
# shellcheck shell=bash

# What guests' interfaces are plugged into: a bridge with an address of dom0, a DHCP server, and behind a port that can finish
# neither checksums nor large frames a host of its own, "world", with 10.9.0.2 and fd09::2. Both serve iperf3 and one file, whose sum
# is $file_sum. Whatever a scenario adds to them goes with the next one's network_begin.
network_begin() {
    ! ip link show xenbr0 >/dev/null 2>&1 || network_end # of a scenario that gave up
    modprobe -a bridge tun veth 8021q
    ip netns add world
    ip -batch - <<'END'
link add xenbr0 type bridge
addr add 10.9.0.1/24 dev xenbr0
addr add fd09::1/64 dev xenbr0 nodad
link set xenbr0 up
link add plug type veth peer name socket netns world
END
    ethtool -K plug tx off tso off gso off sg off >/dev/null
    ip netns exec world ethtool -K socket gro off >/dev/null
    ip link set plug master xenbr0 up
    ip -n world -batch - <<'END'
link set lo up
addr add 10.9.0.2/24 dev socket
addr add fd09::2/64 dev socket nodad
link set socket up
END
    mkdir -p /run/www
    dd if=/dev/urandom of=/run/www/file bs=1M count=4 status=none
    file_sum=$(md5sum </run/www/file | cut -d' ' -f1)
    # Without --no-ping it looks for three seconds whether somebody has the address that it is about to lease.
    dnsmasq --conf-file=/dev/null --port=0 --interface=xenbr0 --bind-interfaces --no-ping \
        --dhcp-range=10.9.0.100,10.9.0.199 --dhcp-leasefile=/run/leases --pid-file=/run/dnsmasq.pid
    iperf3 -s -D
    busybox httpd -p 80 -h /run/www
    ip netns exec world iperf3 -s -D
    ip netns exec world busybox httpd -p 80 -h /run/www
}

network_end() {
    pkill dnsmasq
    pkill iperf3
    pkill -f 'busybox httpd'
    ip netns del world 2>/dev/null
    ip link del xenbr0 2>/dev/null
    rm -f /run/leases
}

# nics NIC...: what xl needs to hear for interfaces, for guest_extra.
nics() {
    local nic list=
    for nic; do list="$list'$nic',"; done
    echo "vif=[$list]"
}

# vifs [DOMID]: like vbds, of interfaces.
vifs() {
    xenstore-ls -f "/local/domain/${vbds_in:-0}/backend/vif${1:+/$1}" 2>/dev/null
}

no_vifs() {
    [ -z "$(vifs "$@")" ] && ! ip -o link | grep -q ': vif'
}

# served_by_us: the backend was connected with, and not the kernel's.
served_by_us() {
    backend_log | grep -q '^xnb backend: .* using event channel'
}

# xentop_agrees NAME: xentop shows as many bytes of the guest's first interface, both ways, as the interface has counted.
xentop_agrees() {
    local counters shown before after
    counters=/sys/class/net/vif$(xl domid "$1").0/statistics
    before=$(cat "$counters/rx_bytes" "$counters/tx_bytes" | paste -sd' ')
    shown=$(xentop -b -f -n -i 1 | awk -v guest="$1" '
        !/^Net/ { here = $1 == guest }
        here && /^Net0 / { sub(/^Net0 RX: */, ""); received = $0 + 0; sub(/.*TX: */, ""); print received, $0 + 0 }')
    after=$(cat "$counters/rx_bytes" "$counters/tx_bytes" | paste -sd' ')
    echo "before $before, in xentop $shown, after $after"
    echo "$before $shown $after" |
        awk '{ exit !(NF == 6 && $1 > 1000000 && $2 > 1000000 && $1 <= $3 && $3 <= $5 && $2 <= $4 && $4 <= $6) }'
}

# far COMMAND...: on the host behind the wire without offload.
far() {
    ip netns exec world "$@"
}

# wire_watched FILE: what comes over that wire, as tcpdump reads it with all checksums looked at, until wire_judged.
wire_watched() {
    far tcpdump -i socket -Q in -n -vv -l -B 8192 >"$1" 2>"$1.err" &
    wire_watcher=$!
    until_true 20 grep -q 'listening on' "$1.err"
}

# wire_judged FILE: ends that, and the checksums were right.
wire_judged() {
    pkill tcpdump
    wait $wire_watcher
    checksums_right "$1"
}

# checksums_right FILE: of what tcpdump has read none was wrong, and there were some to look at.
checksums_right() {
    local wrong right
    wrong=$(grep -c -E 'incorrect|bad (udp )?cksum|wrong' "$1")
    right=$(grep -c -E '\(correct\)|udp sum ok' "$1")
    echo "$right right, $wrong wrong"
    grep -m 5 -E 'incorrect|bad (udp )?cksum|wrong' "$1"
    [ "$wrong" = 0 ] && [ "$right" -gt 100 ]
}

# far_fetches URL SUM: the file there has that MD5 sum.
far_fetches() {
    [ "$(far busybox wget -q -O - "$1" | md5sum | cut -d' ' -f1)" = "$2" ]
}

# network_works_as TYPE: what a guest of a type must be able to do on a network. The backend is there.
network_works_as() {
    local address
    network_begin
    guest_extra=$(nics bridge=xenbr0,mac=00:16:3e:00:09:01) guest_start net "$1" < <(
        echo "sum=$file_sum"
        cat <<'END'
check "the guest gets an address by DHCP" network_up
ip addr add fd09::9/64 dev eth0
check "its interface has the address that xl was told" grep -qx 00:16:3e:00:09:01 /sys/class/net/eth0/address
check "it pings dom0, with small and large packets" eval 'ping -c 3 -i 0.2 -W 5 10.9.0.1 && ping -c 2 -i 0.2 -W 5 -s 20000 10.9.0.1'
check "and over IPv6" eval 'until_true 10 ping -6 -c 1 -W 5 fd09::1 && ping -6 -c 2 -i 0.2 -W 5 -s 20000 fd09::1'
check "a file comes whole from dom0" fetches http://10.9.0.1/file $sum
check "TCP, to dom0" iperf -c 10.9.0.1 -t 1
check "TCP, from dom0" iperf -c 10.9.0.1 -t 1 -R
check "TCP over IPv6, both ways" eval 'iperf -c fd09::1 -t 1 && iperf -c fd09::1 -t 1 -R'
check "eight streams at once" iperf -c 10.9.0.1 -t 1 -P 8
check "UDP, to dom0" iperf -c 10.9.0.1 -t 1 -u -b 20M -l 1400
check "UDP, from dom0" iperf -c 10.9.0.1 -t 1 -u -b 20M -l 1400 -R
check "UDP of 64 KiB, in fragments, both ways" \
    eval 'iperf -c 10.9.0.1 -t 1 -u -b 10M -l 65000 && iperf -c 10.9.0.1 -t 1 -u -b 10M -l 65000 -R'
say wire
until_true 60 dom0_said watched
check "a file comes whole over a wire without offload" fetches http://10.9.0.2/file $sum
check "TCP to the far end of that wire, both ways" eval 'iperf -c 10.9.0.2 -t 1 && iperf -c 10.9.0.2 -t 1 -R'
check "and over IPv6" eval 'iperf -c fd09::2 -t 1 && iperf -c fd09::2 -t 1 -R'
check "UDP over it, in fragments too" \
    eval 'iperf -c 10.9.0.2 -t 1 -u -b 5M -l 1400 && iperf -c 10.9.0.2 -t 1 -u -b 5M -l 65000'
check "the guest serves the file itself" serves http://10.9.0.1/file
say serving
until_true 60 dom0_said end
END
    )
    guest_awaits net wire 150
    wire_watched "$logs/wire"
    guest_tell net watched
    guest_awaits net serving 120
    address=$(awk '{ print $3 }' /run/leases)
    check "the far end gets the guest's file whole" far_fetches "http://$address/file" "$file_sum"
    check "no checksum was wrong on the wire without offload" wire_judged "$logs/wire"
    check "xl network-list shows the interface, connected" eval 'xl network-list net | grep -q "00:16:3e:00:09:01.* 4 "'
    check "xentop shows what the interface has counted" xentop_agrees net
    guest_tell net end
    guest_end net 60
    check "no interface is left in xenstore, nor in dom0" until_true 10 no_vifs
    network_end
}
