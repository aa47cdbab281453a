package xenback.net.protocol;

/**
 * A named way to be a bad guest: the name of the counter, the word in the log and the test. A packet that breaks a rule is
 * dropped and its slots are answered with an error; a fatal rule disables the interface until it connects anew, for what
 * comes after on the ring cannot be understood (facts of Linux' netback, error against fatal).
 */
public enum NetRule {
    /** No rule was broken. */
    NONE(false),
    /** More data slots than the 19 that every backend takes, up to 21. */
    TOO_MANY_SLOTS(false),
    /** More data slots than 21: no frontend does that by mistake. */
    FAR_TOO_MANY_SLOTS(true),
    /** The last slot says that there is more, and there is none. */
    UNFINISHED_PACKET(true),
    /** A slot says that an extra info follows, and there is none. */
    MISSING_EXTRA(true),
    /** A type of extra info that does not exist. */
    UNKNOWN_EXTRA(true),
    /** The slots' sizes are more than the packet's. */
    SIZES_EXCEED_PACKET(false),
    /** A slot that reaches beyond the end of its page. */
    SLOT_BEYOND_PAGE(true),
    /** Less than an Ethernet header in the first slot. */
    RUNT(false),
    /** Segmentation without a segment size, or of an unknown type. */
    BAD_GSO(true),
    /** Segments so small that one packet would become hundreds (CVE-2019-11478; Linux' own least MSS is 48). */
    TINY_SEGMENTS(false),
    /** A page whose grant the hypervisor refused. */
    BAD_GRANT(false),
    /** Segmentation is asked for and the frame is no TCP frame of that kind. */
    GSO_MISMATCH(false),
    /** A checksum is to be filled in and there is none in such a frame (a fragment, or a protocol without one). */
    NO_CHECKSUM_FIELD(false),
    /** More group addresses than the table holds. */
    TOO_MANY_GROUPS(false),
    /** More requests claimed than the ring holds, or fewer than were seen: the ring is broken. */
    RING_OVERFLOW(true);

    private static final NetRule[] VALUES = values();

    private final boolean fatal;

    NetRule(boolean fatal) {
        this.fatal = fatal;
    }

    /** True if the interface cannot go on. */
    public boolean fatal() {
        return fatal;
    }

    /** How many rules there are, for tables of counters by {@link #index}. */
    public static int count() {
        return VALUES.length;
    }

    @SuppressWarnings("EnumOrdinal") // an index into a table in memory, never stored
    public int index() {
        return ordinal();
    }

    public static NetRule at(int index) {
        return VALUES[index];
    }
}
