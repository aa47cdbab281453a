package xenback.net.frontend;

/** What xn may make use of, each on its own; what the backend does not offer is not used. */
public enum XnFeature {
    /** Frames of several slots, both ways. */
    SCATTER_GATHER,
    /** Large TCP frames over IPv4, both ways. Of use with scatter-gather only. */
    TSO4,
    TSO6,
    /** Blank checksums, both ways. */
    CHECKSUM4,
    CHECKSUM6,
    /** An event for new receive requests; without, the backend has to look for them. */
    RX_NOTIFY,
    SPLIT_CHANNELS,
    /** As many queues as there are loops. */
    MULTI_QUEUE,
    /** All its pages stay mapped by the backend. */
    STAGED_GRANTS,
    /** The backend hashes frames (Toeplitz) and spreads them over the queues by that. */
    HASH,
    /** Room of 256 bytes in front of received data, as for XDP. */
    XDP_HEADROOM
}
