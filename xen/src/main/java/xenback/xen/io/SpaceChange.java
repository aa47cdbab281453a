package xenback.xen.io;

/** What can be done to the space behind a range of a file or block device; see {@link EventLoop#changeSpace}. */
public enum SpaceChange {
    /** Gives the space back, and the range reads as zeroes: {@code fallocate}. A device does it only if it can by itself. */
    PUNCH_HOLE(0x02, 0),
    /** The range reads as zeroes and may keep its space: {@code fallocate}. For a device that cannot, the kernel writes them. */
    ZERO_RANGE(0x10, 0),
    /** Gives the space of a block device back, and the range reads as anything: ioctl BLKDISCARD. */
    DISCARD(0, 0x1277),
    /** As {@link #DISCARD}, and nobody can read afterwards what was there: ioctl BLKSECDISCARD. */
    SECURE_DISCARD(0, 0x127D);

    /** FALLOC_FL_KEEP_SIZE (linux/falloc.h): a range beyond the end must not make the file longer. */
    private static final int KEEP_SIZE = 0x01;

    private final int mode;
    private final long request;

    SpaceChange(int mode, long request) {
        this.mode = mode;
        this.request = request;
    }

    boolean isFallocate() {
        return mode != 0;
    }

    /** The mode of {@code fallocate} (linux/falloc.h). */
    int mode() {
        return mode | KEEP_SIZE;
    }

    /** The request of {@code ioctl} (linux/fs.h); its argument is two u64, start and length in bytes. */
    long request() {
        return request;
    }
}
