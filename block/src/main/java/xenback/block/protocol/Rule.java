package xenback.block.protocol;

/**
 * A named way to be a bad guest: the name of the counter, the word in the log and the test. Each request that breaks a rule
 * is answered with {@link #status}; {@link #RING_OVERFLOW} disables the ring instead.
 */
public enum Rule {
    /** No rule was broken. */
    NONE(Blkif.STATUS_OKAY),
    /** An operation that we did not offer. Not hostile by itself: answered so that the frontend does without. */
    UNSUPPORTED_OPERATION(Blkif.STATUS_EOPNOTSUPP),
    /** An indirect request that carries something else than a read or a write. */
    INDIRECT_OPERATION(Blkif.STATUS_ERROR),
    /** A read or write without segments. */
    NO_SEGMENTS(Blkif.STATUS_ERROR),
    /** More segments than a request holds, or an indirect one than was offered. */
    TOO_MANY_SEGMENTS(Blkif.STATUS_ERROR),
    /** A segment whose last sector is before its first. */
    SEGMENT_BACKWARDS(Blkif.STATUS_ERROR),
    /** A segment whose last sector is beyond its page. */
    SEGMENT_BEYOND_PAGE(Blkif.STATUS_ERROR),
    /** A request that reaches beyond the end of the disk, overflow included. */
    BEYOND_END(Blkif.STATUS_ERROR),
    /** Start or length of a segment is no multiple of the disk's logical block. */
    MISALIGNED(Blkif.STATUS_ERROR),
    /** A discard of no sectors. */
    EMPTY_DISCARD(Blkif.STATUS_ERROR),
    /** A write or a discard of a disk that was given read-only (CVE-2013-2140). */
    WRITE_TO_READ_ONLY(Blkif.STATUS_ERROR),
    /** A page, of payload or of descriptors, whose grant the hypervisor refused. */
    BAD_GRANT(Blkif.STATUS_ERROR),
    /** More requests claimed than the ring holds, or fewer than were seen: the ring is broken. */
    RING_OVERFLOW(Blkif.STATUS_ERROR);

    private static final Rule[] VALUES = values();

    private final short status;

    Rule(short status) {
        this.status = status;
    }

    /** What a request that breaks this rule is answered with. */
    public short status() {
        return status;
    }

    /** How many rules there are, for tables of counters by {@link #index}. */
    public static int count() {
        return VALUES.length;
    }

    @SuppressWarnings("EnumOrdinal") // an index into a table in memory, never stored
    public int index() {
        return ordinal();
    }

    public static Rule at(int index) {
        return VALUES[index];
    }
}
