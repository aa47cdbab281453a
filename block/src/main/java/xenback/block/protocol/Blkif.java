package xenback.block.protocol;

/** Numbers on the ring (xen io/blkif.h). */
public final class Blkif {
    public static final int OP_READ = 0;
    public static final int OP_WRITE = 1;
    public static final int OP_WRITE_BARRIER = 2;
    public static final int OP_FLUSH_DISKCACHE = 3;
    public static final int OP_DISCARD = 5;
    public static final int OP_INDIRECT = 6;

    public static final short STATUS_OKAY = 0;
    public static final short STATUS_ERROR = -1;
    public static final short STATUS_EOPNOTSUPP = -2;

    /** Bits of the {@code info} node. */
    public static final int INFO_CDROM = 1;

    public static final int INFO_REMOVABLE = 2;
    public static final int INFO_READONLY = 4;

    private Blkif() {}
}
