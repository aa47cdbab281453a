package xenback.block.disk;

import xenback.xen.XenException;
import xenback.xen.io.EventLoop;

/**
 * A store behind a virtual block device, or anything that answers like one. Opening and closing block and belong on
 * control threads; the data path goes through a {@link DiskQueue}. Implementations are thread-safe unless they say
 * otherwise; most properties are settled when a disk is opened.
 */
public interface Disk extends AutoCloseable {
    /** What a person calls this store, such as a path. */
    String name();

    /** Size in bytes, a multiple of {@link #logicalBlockBytes}. May change while in use. */
    long sizeBytes();

    /**
     * Measures the store and adopts its size. Blocks; control threads only.
     *
     * @param mayShrink adopt a smaller size too; else what is beyond the store's end fails until it has grown back
     * @return true if {@link #sizeBytes} has changed
     * @throws XenException EINVAL if the store's new size is none for a disk: the old one stays
     */
    default boolean refreshSize(boolean mayShrink) throws XenException {
        return false;
    }

    /** Granularity of offsets and lengths, bytes, a power of two, at least 512. */
    int logicalBlockBytes();

    /** Granularity at which writes are done without a read before, bytes, a multiple of the logical one. */
    int physicalBlockBytes();

    boolean readOnly();

    /** True if {@link DiskQueue#flush} makes completed writes durable; false if there is nothing to flush or no way. */
    boolean canFlush();

    /**
     * True if {@link DiskQueue#discard} gives space back, as far as is known: one that is refused with -EOPNOTSUPP may turn
     * this to false.
     */
    boolean canDiscard();

    /** Unit in which space is given back, bytes, a multiple of {@link #logicalBlockBytes}. For disks that can discard. */
    default int discardGranularityBytes() {
        return logicalBlockBytes();
    }

    /** Where the first such unit begins, bytes, a multiple of {@link #logicalBlockBytes}. For disks that can discard. */
    default int discardAlignmentBytes() {
        return 0;
    }

    /** True if a discard can be secure: nobody can read afterwards what was there. */
    default boolean canDiscardSecurely() {
        return false;
    }

    /** True if {@link DiskQueue#writeZeroes} is served without the caller sending zeroes. */
    boolean canWriteZeroes();

    /** True if {@link #nextExtent} knows more than "data everywhere". */
    default boolean knowsExtents() {
        return false;
    }

    /**
     * True if operations may be given memory that another domain shares and may change at any moment, and use nothing of it
     * after their completion.
     */
    default boolean takesGrantedPages() {
        return false;
    }

    /**
     * Describes allocation from {@code offsetBytes} on: the length in bytes of the extent that starts there (at least 1,
     * at most {@code lengthBytes}), negated if it is a hole that reads as zeroes. Blocks; control threads only. What a
     * completed write made data is never reported as a hole.
     */
    default long nextExtent(long offsetBytes, long lengthBytes) throws XenException {
        return lengthBytes;
    }

    /** Opens a queue whose operations are started and completed on {@code loop}. Call it on the loop's thread. */
    DiskQueue openQueue(EventLoop loop);

    /** Gives the store back. Every queue was closed before. Flushes what can be flushed. */
    @Override
    void close() throws XenException;
}
