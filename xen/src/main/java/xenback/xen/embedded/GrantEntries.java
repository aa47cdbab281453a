package xenback.xen.embedded;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicIntegerArray;
import xenback.xen.grant.GrantStatus;

/**
 * The grant table of one domain, version 1 (xen grant_table.h): eight bytes per entry, flags u16 at 0, domid u16 at 2, frame
 * u32 at 4. The guest writes flags, domid and frame; the hypervisor sets the two in-use flags, and the guest can take an
 * entry back only while neither is set.
 *
 * <p>Any thread. Flags and domid change together by compare-and-set of their 32 bits, as on real Xen. The hypervisor's own
 * count of users per entry is guarded by a bit of that count.
 */
final class GrantEntries {
    /** 64 frames, Xen's default gnttab_max_frames, of 512 entries. */
    static final int ENTRY_LIMIT = 64 * 512;

    /** References that Xen keeps to itself (GNTTAB_NR_RESERVED_ENTRIES). */
    static final int RESERVED = 8;

    private static final int GTF_TYPE_MASK = 3;
    private static final int GTF_PERMIT_ACCESS = 1;
    private static final int GTF_READONLY = 1 << 2;
    private static final int GTF_READING = 1 << 3;
    private static final int GTF_WRITING = 1 << 4;

    private static final long ENTRY_BYTES = 8;
    private static final long FRAME_AT = 4;
    private static final VarHandle WORD = ValueLayout.JAVA_INT.varHandle().withInvokeExactBehavior();

    private static final int LOCKED = 1 << 31;
    private static final int READER = 1;
    private static final int WRITER = 1 << 15;
    private static final int READERS = WRITER - 1;

    // On the heap, because it outlives its domain: a mapping of a dead domain's page ends its use here.
    private final MemorySegment entries = MemorySegment.ofArray(new long[ENTRY_LIMIT]);
    private final AtomicIntegerArray users = new AtomicIntegerArray(ENTRY_LIMIT);

    /** The guest's side: writes the frame, then makes the entry valid. */
    void permit(int gref, int domid, int frame, boolean readOnly) {
        long at = gref * ENTRY_BYTES;
        entries.set(ValueLayout.JAVA_INT, at + FRAME_AT, frame);
        WORD.setRelease(entries, at, domid << 16 | GTF_PERMIT_ACCESS | (readOnly ? GTF_READONLY : 0));
    }

    /** The guest's side: takes the entry back; false while it is in use. */
    boolean end(int gref) {
        long at = gref * ENTRY_BYTES;
        while (true) {
            int word = (int) WORD.getAcquire(entries, at);
            if ((word & (GTF_READING | GTF_WRITING)) != 0) {
                return false;
            }
            if (WORD.compareAndSet(entries, at, word, 0)) {
                return true;
            }
        }
    }

    /**
     * The hypervisor's side: begins a use by {@code domid}.
     *
     * @return {@link GrantStatus#OKAY}, or Xen's code for why not (grant_table.c, _set_status_v1)
     */
    short pin(int gref, int domid, boolean write) {
        if (gref < RESERVED || gref >= ENTRY_LIMIT) {
            return GrantStatus.BAD_GREF;
        }
        long at = gref * ENTRY_BYTES;
        int count = lock(gref);
        short status = GrantStatus.OKAY;
        while (true) {
            int word = (int) WORD.getAcquire(entries, at);
            if ((word & GTF_TYPE_MASK) != GTF_PERMIT_ACCESS || word >>> 16 != domid) {
                status = GrantStatus.GENERAL_ERROR;
                break;
            }
            if (write && (word & GTF_READONLY) != 0) {
                status = GrantStatus.GENERAL_ERROR;
                break;
            }
            if ((count & READERS) == READERS - 1 || count >>> 15 == READERS - 1) {
                status = GrantStatus.NO_SPACE; // more users than the count holds
                break;
            }
            int used = word | GTF_READING | (write ? GTF_WRITING : 0);
            if (WORD.compareAndSet(entries, at, word, used)) {
                count += write ? WRITER : READER;
                break;
            }
        }
        users.setRelease(gref, count);
        return status;
    }

    /** The hypervisor's side: ends a use that {@link #pin} began. */
    void unpin(int gref, boolean write) {
        long at = gref * ENTRY_BYTES;
        int count = lock(gref) - (write ? WRITER : READER);
        int clear = (count == 0 ? GTF_READING : 0) | (count < WRITER ? GTF_WRITING : 0);
        while (true) {
            int word = (int) WORD.getAcquire(entries, at);
            if (WORD.compareAndSet(entries, at, word, word & ~clear)) {
                break;
            }
        }
        users.setRelease(gref, count);
    }

    /** The frame of an entry; what it says while pinned is what was granted, for the guest's memory is checked anyway. */
    int frame(int gref) {
        return entries.get(ValueLayout.JAVA_INT, gref * ENTRY_BYTES + FRAME_AT);
    }

    /** Entries in use by another domain, for leak checks. */
    int pinned() {
        int count = 0;
        for (int gref = 0; gref < ENTRY_LIMIT; gref++) {
            if (users.get(gref) != 0) {
                count++;
            }
        }
        return count;
    }

    private int lock(int gref) {
        while (true) {
            int count = users.get(gref);
            if ((count & LOCKED) == 0 && users.compareAndSet(gref, count, count | LOCKED)) {
                return count;
            }
            Thread.onSpinWait();
        }
    }
}
