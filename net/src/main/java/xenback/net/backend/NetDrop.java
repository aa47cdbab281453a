package xenback.net.backend;

/** Why a frame was dropped that broke no rule of the protocol. */
public enum NetDrop {
    /** From the guest: the link did not take it. */
    LINK_REFUSED,
    /** From the guest: its source is not the guest's, and {@code antispoof} is on. */
    SPOOFED,
    /** To the guest: it posted no buffers in time. */
    NO_BUFFERS,
    /** To the guest: a buffer's grant was refused. */
    BAD_GRANT,
    /** To the guest: not as long as an Ethernet header, or longer than the guest takes. */
    BAD_LENGTH,
    /** To the guest: a large frame that it cannot take, and that cannot be cut. */
    NOT_SEGMENTABLE,
    /** To the guest: for a station or group that it does not listen to. */
    FILTERED,
    /** To the guest: another queue of it, to which its hash belongs, is full. */
    QUEUE_FULL;

    private static final int COUNT = values().length;

    static int count() {
        return COUNT;
    }

    @SuppressWarnings("EnumOrdinal") // an index into a table in memory, never stored
    int index() {
        return ordinal();
    }
}
