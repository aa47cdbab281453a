package xenback.block.frontend;

import java.lang.foreign.MemorySegment;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.Granter;

/**
 * Pages of the guest that carry payload, each with a grant reference of its own: granted for ever, or for as long as a request
 * uses it. Those used last are given first, so that the same few stay in the cache and, with persistent grants, mapped.
 */
final class XbdPages {
    private static final int PAGE_BYTES = GrantCopyBatch.PAGE_BYTES;

    private final Domain guest;
    private final int backendDomid;
    private final boolean persistent;
    private final Granter.Pages pages;
    private final int[] grefs;
    private final int[] free;
    private int freeCount;

    XbdPages(Domain guest, int backendDomid, int count, boolean persistent) throws XenException {
        this.guest = guest;
        this.backendDomid = backendDomid;
        this.persistent = persistent;
        pages = guest.allocatePages(count);
        grefs = guest.allocateGrefs(count);
        free = new int[count];
        for (int i = 0; i < count; i++) {
            free[i] = count - 1 - i;
            if (persistent) {
                guest.grant(grefs[i], backendDomid, pages.firstFrame() + i, false); // the backend may read and write
            }
        }
        freeCount = count;
    }

    /** Enough for a ring full of ordinary requests, or for four of the largest. */
    static int pages(int slots, int segments) {
        return Math.max(slots * 11, 4 * segments);
    }

    int freeCount() {
        return freeCount;
    }

    MemorySegment memory() {
        return pages.memory();
    }

    static long offset(int page) {
        return (long) page * PAGE_BYTES;
    }

    /** Takes a page and lets the backend have it. There must be one. */
    int take(boolean readOnly) {
        int page = free[--freeCount];
        if (!persistent) {
            guest.grant(grefs[page], backendDomid, pages.firstFrame() + page, readOnly);
        }
        return page;
    }

    int gref(int page) {
        return grefs[page];
    }

    /** Gives a page back. False if the backend still uses it, which it must not. */
    boolean give(int page) {
        free[freeCount++] = page;
        return persistent || guest.end(grefs[page]);
    }

    /** Gives everything back to the guest. What the backend still uses stays granted: it must not become somebody else's. */
    void close() {
        giveBack(guest, grefs, pages);
    }

    /** Ends grants and frees their pages, if every one of them could be ended. */
    static void giveBack(Domain guest, int[] grefs, Granter.Pages pages) {
        boolean allEnded = true;
        for (int gref : grefs) {
            allEnded &= guest.end(gref);
        }
        if (allEnded) {
            guest.freeGrefs(grefs);
            guest.freePages(pages);
        }
    }
}
