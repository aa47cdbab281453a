package xenback.net.protocol;

/** Numbers of the network protocol (xen io/netif.h), the same in every ABI. */
public final class Netif {
    /** Bytes of a slot of the transmit ring (guest to backend), request or response. */
    public static final int TX_SLOT_BYTES = 12;

    /** Bytes of a slot of the receive ring (backend to guest). */
    public static final int RX_SLOT_BYTES = 8;

    /** Bytes of an extra info, in either ring. */
    public static final int EXTRA_BYTES = 8;

    /** Slots of a ring; a ring is one page. */
    public static final int SLOTS = 256;

    /** Largest frame, its Ethernet header included, for its size is told in 16 bits. */
    public static final int MOST_FRAME_BYTES = 65535;

    /** Smallest frame that is one: an Ethernet header. */
    public static final int LEAST_FRAME_BYTES = 14;

    // Flags of a transmit request.
    public static final int TX_CSUM_BLANK = 1;
    public static final int TX_DATA_VALIDATED = 2;
    public static final int TX_MORE_DATA = 4;
    public static final int TX_EXTRA_INFO = 8;

    // Flags of a receive response: the first two are the other way round.
    public static final int RX_DATA_VALIDATED = 1;
    public static final int RX_CSUM_BLANK = 2;
    public static final int RX_MORE_DATA = 4;
    public static final int RX_EXTRA_INFO = 8;

    // Types of extra info.
    public static final int EXTRA_GSO = 1;
    public static final int EXTRA_MCAST_ADD = 2;
    public static final int EXTRA_MCAST_DEL = 3;
    public static final int EXTRA_HASH = 4;
    public static final int EXTRA_XDP = 5;
    static final int EXTRA_TYPES = 6;
    public static final int EXTRA_MORE = 1;

    public static final int GSO_TCPV4 = 1;
    public static final int GSO_TCPV6 = 2;

    public static final short STATUS_OKAY = 0;
    public static final short STATUS_ERROR = -1;
    public static final short STATUS_DROPPED = -2;

    /** Of the slot of an extra info. */
    public static final short STATUS_NULL = 1;

    private Netif() {}
}
