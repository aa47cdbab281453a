package xenback.net.backend;

/** What may be offered to a frontend, each on its own; the node says 1 while it is, but for one that says the opposite. */
public enum NetFeature {
    /** Packets of several slots, and MTUs beyond 1500. */
    SCATTER_GATHER("feature-sg"),
    /** Large TCP frames over IPv4, both ways. Of use with scatter-gather only. */
    TSO4("feature-gso-tcpv4"),
    TSO6("feature-gso-tcpv6"),
    /** Blank checksums of IPv4 from the guest, told by {@code feature-no-csum-offload}. */
    CHECKSUM4("feature-no-csum-offload"),
    CHECKSUM6("feature-ipv6-csum-offload"),
    /** An event channel for each ring. */
    SPLIT_CHANNELS("feature-split-event-channels"),
    /** The guest names the groups that it listens to. */
    MULTICAST_CONTROL("feature-multicast-control"),
    /** It may begin and end that at any time. */
    DYNAMIC_MULTICAST_CONTROL("feature-dynamic-multicast-control"),
    /** Hash steering and grants that stay mapped. */
    CONTROL_RING("feature-ctrl-ring"),
    /** Room in front of each slot's data, for the guest's XDP programs. */
    XDP_HEADROOM("feature-xdp-headroom");

    private final String node;

    NetFeature(String node) {
        this.node = node;
    }

    /** The key in the backend's directory. */
    String node() {
        return node;
    }

    /** What the key says. */
    String value(boolean offered) {
        return offered == (this != CHECKSUM4) ? "1" : "0";
    }
}
