package xenback.xen.grant;

import java.lang.foreign.MemorySegment;
import java.util.Objects;

/**
 * Copies between granted pages and local memory, gathered over a ring sweep and done in one call. One direction per
 * batch: Linux keeps the dirty flag of pinned local pages per batch (facts of gntdev's GRANT_COPY). Reused for ever; no
 * allocation after construction. One thread.
 */
public final class GrantCopyBatch {
    /** Bytes of a Xen page, also for guests whose own pages are larger. */
    public static final int PAGE_BYTES = 4096;

    /** Which side is the guest's. */
    public enum Direction {
        FROM_GUEST,
        TO_GUEST
    }

    private final Direction direction;
    private final int[] domids;
    private final int[] grefs;
    private final int[] pageOffsets;
    private final int[] lengths;
    private final short[] statuses;
    private final MemorySegment[] locals;
    private final long[] localOffsets;
    private int count;

    /** A batch that holds up to {@code capacity} entries. */
    public GrantCopyBatch(Direction direction, int capacity) {
        this.direction = direction;
        domids = new int[capacity];
        grefs = new int[capacity];
        pageOffsets = new int[capacity];
        lengths = new int[capacity];
        statuses = new short[capacity];
        locals = new MemorySegment[capacity];
        localOffsets = new long[capacity];
        java.util.Arrays.fill(locals, MemorySegment.NULL);
    }

    /** Forgets all entries. */
    public void clear() {
        count = 0;
    }

    /**
     * Adds a copy of {@code length} bytes between offset {@code pageOffset} of a granted page and {@code localOffset} of
     * {@code local}. The granted side stays in its page, the local side is native memory and may cross pages.
     *
     * @return the index of the entry, under which its {@link #status} is found
     * @throws IndexOutOfBoundsException if a side does not fit or the batch is full: our bug, for the caller validated
     */
    public int add(int domid, int gref, int pageOffset, MemorySegment local, long localOffset, int length) {
        Objects.checkFromIndexSize(pageOffset, length, PAGE_BYTES);
        Objects.checkFromIndexSize(localOffset, length, local.byteSize());
        int entry = Objects.checkIndex(count, statuses.length);
        domids[entry] = domid;
        grefs[entry] = gref;
        pageOffsets[entry] = pageOffset;
        lengths[entry] = length;
        locals[entry] = local;
        localOffsets[entry] = localOffset;
        statuses[entry] = GrantStatus.GENERAL_ERROR; // until someone has really done it
        count = entry + 1;
        return entry;
    }

    public Direction direction() {
        return direction;
    }

    /** Entries added since {@link #clear}. */
    public int count() {
        return count;
    }

    /** How many entries it holds at most. */
    public int capacity() {
        return statuses.length;
    }

    /** What became of an entry, one of {@link GrantStatus}. */
    public short status(int entry) {
        return statuses[Objects.checkIndex(entry, count)];
    }

    /** Records what became of an entry; for implementations of {@link GrantTable}. */
    public void setStatus(int entry, short status) {
        statuses[Objects.checkIndex(entry, count)] = status;
    }

    public int domid(int entry) {
        return domids[Objects.checkIndex(entry, count)];
    }

    public int gref(int entry) {
        return grefs[Objects.checkIndex(entry, count)];
    }

    public int pageOffset(int entry) {
        return pageOffsets[Objects.checkIndex(entry, count)];
    }

    public int length(int entry) {
        return lengths[Objects.checkIndex(entry, count)];
    }

    public MemorySegment local(int entry) {
        return locals[Objects.checkIndex(entry, count)];
    }

    public long localOffset(int entry) {
        return localOffsets[Objects.checkIndex(entry, count)];
    }
}
