package xenback.block.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import xenback.xen.XenException;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.io.Mapping;

/**
 * Memory of ours for the payload of requests that are copied: pages, given in runs, so that a disk sees one buffer per
 * request. Bounded: a request that finds no room waits for those in flight. The lowest pages are given first, which are those
 * still in the cache. One thread; no allocation after construction.
 */
final class PayloadPool {
    /** There is no run of that length now. */
    static final int NONE = -1;

    private final int pages;
    private final MemorySegment memory;
    private final long[] used; // a bit per page

    /** @param arena owns the memory, whose pages the kernel gives when they are first touched */
    PayloadPool(int pages, Arena arena) throws XenException {
        this.pages = pages;
        memory = Mapping.anonymous(arena, (long) pages * GrantCopyBatch.PAGE_BYTES);
        used = new long[(pages + 63) / 64];
    }

    MemorySegment memory() {
        return memory;
    }

    int pages() {
        return pages;
    }

    /** Takes {@code count} pages side by side; the number of the first, or {@link #NONE}. */
    int take(int count) {
        int first = nextFree(0);
        while (first + count <= pages) {
            int end = nextUsed(first, first + count);
            if (end == first + count) {
                mark(first, count, true);
                return first;
            }
            first = nextFree(end);
        }
        return NONE;
    }

    void give(int first, int count) {
        mark(first, count, false);
    }

    private int nextFree(int from) {
        for (int at = from; at < pages; at = (at | 63) + 1) {
            long free = ~used[at >>> 6] >>> at; // a shift takes the low six bits
            if (free != 0) {
                return at + Long.numberOfTrailingZeros(free);
            }
        }
        return pages;
    }

    /** The first used page from {@code from} on, or {@code limit}. */
    private int nextUsed(int from, int limit) {
        for (int at = from; at < limit; at = (at | 63) + 1) {
            long taken = used[at >>> 6] >>> at;
            if (taken != 0) {
                return Math.min(limit, at + Long.numberOfTrailingZeros(taken));
            }
        }
        return limit;
    }

    private void mark(int first, int count, boolean taken) {
        for (int at = first; at < first + count; at++) {
            if (taken) {
                used[at >>> 6] |= 1L << at;
            } else {
                used[at >>> 6] &= ~(1L << at);
            }
        }
    }
}
