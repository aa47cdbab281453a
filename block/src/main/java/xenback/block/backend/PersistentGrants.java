package xenback.block.backend;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import xenback.xen.XenException;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.GrantWindow;

/**
 * The guest's pages that stay mapped for one queue (blkif.h, feature-persistent): found by gref, bounded, and given back when
 * nobody has used them for a while, least recently used first. A page that several requests in flight name is mapped once and
 * counted. The queue's thread; nothing is allocated after construction but for a page that is mapped for the first time.
 *
 * <p>Pages are known by their place in {@link #memory}. A hash table with linear probing leads from gref to place; a ring of
 * links through the places keeps those that nobody uses, oldest first.
 */
final class PersistentGrants implements AutoCloseable {
    /** No place: the grant was refused, or every place is in use. The request is then served by copying. */
    static final int NONE = -1;

    private static final int PAGE_BYTES = GrantCopyBatch.PAGE_BYTES;

    private final GrantWindow window;
    private final int places;
    private final int[] grefs;
    private final int[] users;
    private final long[] idleSinceNanos;

    // The places that are mapped and idle, as a ring of links around the head at index `places`: next is younger.
    private final int[] next;
    private final int[] previous;

    // Places that hold nothing, as a stack.
    private final int[] empty;
    private int emptyCount;

    private final int[] table;
    private final int tableMask;

    PersistentGrants(GrantTable grants, int domid, int places) throws XenException {
        window = grants.openWindow(domid, places);
        this.places = places;
        grefs = new int[places];
        users = new int[places];
        idleSinceNanos = new long[places];
        next = new int[places + 1];
        previous = new int[places + 1];
        next[places] = places;
        previous[places] = places;
        empty = new int[places];
        for (int i = 0; i < places; i++) {
            empty[i] = places - 1 - i;
        }
        emptyCount = places;
        table = new int[Integer.highestOneBit(places) * 4]; // at most half full
        tableMask = table.length - 1;
        Arrays.fill(table, NONE);
    }

    /** All places side by side. */
    MemorySegment memory() {
        return window.memory();
    }

    /** Pages that are mapped now. */
    int mapped() {
        return places - emptyCount;
    }

    /**
     * Begins a use of a page, mapping it if it is not mapped yet.
     *
     * @return its place, or {@link #NONE}
     */
    int acquire(int gref) {
        int at = slotOf(gref);
        int place = table[at];
        if (place != NONE) {
            if (users[place]++ == 0) {
                unlink(place);
            }
            return place;
        }
        if (emptyCount == 0 && !evictOldest()) {
            return NONE;
        }
        place = empty[emptyCount - 1];
        if (!window.put(place, gref, true)) {
            return NONE;
        }
        emptyCount--;
        grefs[place] = gref;
        users[place] = 1;
        table[slotOf(gref)] = place; // looked for again: an eviction may have moved entries
        return place;
    }

    /** Ends a use that {@link #acquire} began. */
    void release(int place, long nowNanos) {
        if (--users[place] == 0) {
            idleSinceNanos[place] = nowNanos;
            next[place] = places;
            previous[place] = previous[places];
            next[previous[places]] = place;
            previous[places] = place;
        }
    }

    /** Unmaps pages that nobody has used for {@code idleNanos}, at most {@code limit} of them. Returns how many. */
    int expire(long nowNanos, long idleNanos, int limit) {
        int count = 0;
        while (count < limit && next[places] != places && nowNanos - idleSinceNanos[next[places]] >= idleNanos) {
            evictOldest();
            count++;
        }
        return count;
    }

    /** Unmaps everything. No request is in flight any more. */
    @Override
    public void close() {
        window.close();
    }

    private boolean evictOldest() {
        int place = next[places];
        if (place == places) {
            return false; // all are in use
        }
        unlink(place);
        removeFromTable(slotOf(grefs[place]));
        window.remove(place);
        empty[emptyCount++] = place;
        return true;
    }

    private void unlink(int place) {
        next[previous[place]] = next[place];
        previous[next[place]] = previous[place];
    }

    /** Where a gref stands in the table, or where it would. */
    private int slotOf(int gref) {
        int at = home(gref);
        while (table[at] != NONE && grefs[table[at]] != gref) {
            at = at + 1 & tableMask;
        }
        return at;
    }

    /** Closes the gap that an entry leaves, so that no probe ends before its goal (Knuth 6.4, algorithm R). */
    private void removeFromTable(int at) {
        int gap = at;
        int probe = at;
        while (true) {
            table[gap] = NONE;
            int home;
            do {
                probe = probe + 1 & tableMask;
                if (table[probe] == NONE) {
                    return;
                }
                home = home(grefs[table[probe]]);
            } while ((probe - home & tableMask) < (probe - gap & tableMask));
            table[gap] = table[probe];
            gap = probe;
        }
    }

    /** Grefs come in runs; the multiplier is that of Fibonacci hashing, so that a guest's choice of them matters little. */
    private int home(int gref) {
        return (gref * 0x9E3779B9) >>> 16 & tableMask;
    }

    /** Bytes into {@link #memory} at which a place starts. */
    static long offset(int place) {
        return (long) place * PAGE_BYTES;
    }
}
