package xenback.block.backend;

import java.lang.foreign.MemorySegment;
import xenback.xen.XenException;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.MappedGrants;

/**
 * The guest's pages that stay mapped for one queue (blkif.h, feature-persistent): found by gref, bounded, and given back when
 * nobody has used them for a while, least recently used first. A page that several requests in flight name is mapped once and
 * counted. The queue's thread; nothing is allocated after construction but for a page that is mapped for the first time.
 *
 * <p>Pages are known by their place in {@link #memory}. A ring of links through the places keeps those that nobody uses, oldest
 * first.
 */
final class PersistentGrants implements AutoCloseable {
    /** No place: the grant was refused, or every place is in use. The request is then served by copying. */
    static final int NONE = MappedGrants.NONE;

    private final MappedGrants mapped;
    private final int places;
    private final int[] users;
    private final long[] idleSinceNanos;

    // The places that are mapped and idle, as a ring of links around the head at index `places`: next is younger.
    private final int[] next;
    private final int[] previous;

    PersistentGrants(GrantTable grants, int domid, int places) throws XenException {
        mapped = new MappedGrants(grants, domid, places);
        this.places = places;
        users = new int[places];
        idleSinceNanos = new long[places];
        next = new int[places + 1];
        previous = new int[places + 1];
        next[places] = places;
        previous[places] = places;
    }

    /** All places side by side. */
    MemorySegment memory() {
        return mapped.memory();
    }

    /** Pages that are mapped now. */
    int mapped() {
        return mapped.mapped();
    }

    /**
     * Begins a use of a page, mapping it if it is not mapped yet.
     *
     * @return its place, or {@link #NONE}
     */
    int acquire(int gref) {
        int place = mapped.find(gref);
        if (place != NONE) {
            if (users[place]++ == 0) {
                unlink(place);
            }
            return place;
        }
        if (mapped.empty() == 0 && !evictOldest()) {
            return NONE;
        }
        place = mapped.map(gref, true);
        if (place != NONE) {
            users[place] = 1;
        }
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
        mapped.close();
    }

    private boolean evictOldest() {
        int place = next[places];
        if (place == places) {
            return false; // all are in use
        }
        unlink(place);
        mapped.unmap(place);
        return true;
    }

    private void unlink(int place) {
        next[previous[place]] = next[place];
        previous[next[place]] = previous[place];
    }

    /** Bytes into {@link #memory} at which a place starts. */
    static long offset(int place) {
        return MappedGrants.offset(place);
    }
}
