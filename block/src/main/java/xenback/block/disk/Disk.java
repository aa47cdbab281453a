package xenback.block.disk;

import xenback.xen.XenException;
import xenback.xen.io.EventLoop;

/**
 * A store behind a virtual block device, or anything that answers like one. Opening and closing block and belong on
 * control threads; the data path goes through a {@link DiskQueue}. Implementations are thread-safe unless they say
 * otherwise; the properties are asked once, after opening.
 */
public interface Disk extends AutoCloseable {
    /** What a person calls this store, such as a path. */
    String name();

    /** Size in bytes at this moment, a multiple of {@link #logicalBlockBytes}. May change while in use. */
    long sizeBytes();

    /** Granularity of offsets and lengths, bytes, a power of two, at least 512. */
    int logicalBlockBytes();

    /** Granularity at which writes are done without a read before, bytes, a multiple of the logical one. */
    int physicalBlockBytes();

    boolean readOnly();

    /** True if {@link DiskQueue#flush} makes completed writes durable; false if there is nothing to flush or no way. */
    boolean canFlush();

    /** True if {@link DiskQueue#discard} gives space back. */
    boolean canDiscard();

    /** Bytes that are given back as a unit, a multiple of the logical block. Means something if {@link #canDiscard}. */
    int discardGranularityBytes();

    /** Where the first such unit starts, bytes. */
    int discardAlignmentBytes();

    /** True if a secure discard leaves nothing that could be read again. */
    boolean canDiscardSecurely();

    /**
     * Measures the store and adopts the size that it has now. Control threads.
     *
     * @param mayShrink false keeps the size of a store that became smaller
     * @return true if {@link #sizeBytes} is another than before
     */
    default boolean refreshSize(boolean mayShrink) throws XenException {
        return false;
    }

    /**
     * True if operations may be given memory that another domain shares and may change at any moment, because nothing of it is
     * used after the completion. Not so where a network may still send it then (xl-disk-configuration, direct-io-safe).
     */
    default boolean takesGrantedPages() {
        return false;
    }

    /** True if {@link DiskQueue#writeZeroes} is served without the caller sending zeroes. */
    boolean canWriteZeroes();

    /** True if {@link #nextExtent} knows more than "data everywhere". */
    default boolean knowsExtents() {
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
