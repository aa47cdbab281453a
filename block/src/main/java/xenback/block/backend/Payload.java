package xenback.block.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import xenback.block.protocol.BlkifLayout;
import xenback.block.protocol.BlkifRequest;
import xenback.xen.XenException;
import xenback.xen.grant.GrantCopyBatch;

/**
 * Where the bytes of one queue's requests are: in the guest's own pages, where those stay mapped, else in a pool of ours between
 * which and the guest they are copied. The queue's thread.
 */
final class Payload implements AutoCloseable {
    /** Pages of payload that are copied, 4 to 8 MiB: a full ring of ordinary requests, several indirect ones. */
    private static final int POOL_PAGES_LEAST = 1024;

    private static final int POOL_PAGES_MOST = 2048;

    /** Persistent grants of a queue: 33 a slot are what Linux' blkfront keeps, for 32 segments and their descriptors. */
    private static final int PERSISTENT_PER_SLOT = 33;

    private static final int PERSISTENT_MOST = 4096;

    /** Persistent grants that a second's housekeeping unmaps at most. */
    private static final int EXPIRE_AT_A_TIME = 256;

    /** A page that no request has used for so long is given back (Linux: persistent_grant_unused_seconds). */
    private static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(60);

    private static final int PAGE_BYTES = GrantCopyBatch.PAGE_BYTES;

    private final int guestDomid;
    private final Arena arena;
    private final PayloadPool pool;
    private final @Nullable PersistentGrants persistent;

    /**
     * @param slots of the ring, which bound the requests in flight
     * @param largest most segments of a request; the pool always holds one of that size
     */
    Payload(BlockConnection connection, int slots, int largest, Arena arena) throws XenException {
        guestDomid = connection.guestDomid();
        this.arena = arena;
        int pages = Math.clamp((long) slots * BlkifLayout.MAX_SEGMENTS, POOL_PAGES_LEAST, POOL_PAGES_MOST);
        pool = new PayloadPool(Math.max(largest, pages), arena);
        int places = Math.min(slots * PERSISTENT_PER_SLOT, PERSISTENT_MOST);
        persistent = connection.persistent() ? new PersistentGrants(connection.grants(), guestDomid, places) : null;
    }

    /**
     * Finds the bytes of a checked request their place and fills its list.
     *
     * @return false if there is no room; there will be when requests in flight are answered
     */
    boolean place(InFlight flight, long nowNanos) {
        flight.makeRoom(arena);
        return placeInGuest(flight, nowNanos) || placeInPool(flight);
    }

    /** Gives back what {@link #place} took. */
    void release(InFlight flight, long nowNanos) {
        if (flight.mapped) {
            releasePlaces(flight, flight.request.segmentCount(), nowNanos);
            flight.mapped = false;
        } else if (flight.poolPages > 0) {
            pool.give(flight.firstPoolPage, flight.poolPages);
            flight.poolPages = 0;
        }
    }

    /** Adds the copies between the pool and the guest that a request needs. There must be room in the batch. */
    void addTo(GrantCopyBatch batch, InFlight flight) {
        BlkifRequest request = flight.request;
        flight.firstEntry = batch.count();
        long at = (long) flight.firstPoolPage * PAGE_BYTES;
        for (int i = 0; i < request.segmentCount(); i++) {
            int bytes = request.segmentBytes(i);
            batch.add(guestDomid, request.gref(i), request.segmentOffset(i), pool.memory(), at, bytes);
            at += bytes;
        }
    }

    /** Copies the first bytes of a page out, each once, if the page is mapped or can be; else false. */
    boolean copyFromMapped(int gref, MemorySegment target, long at, int bytes, long nowNanos) {
        int place = persistent == null ? PersistentGrants.NONE : persistent.acquire(gref);
        if (place == PersistentGrants.NONE || persistent == null) {
            return false;
        }
        MemorySegment.copy(persistent.memory(), PersistentGrants.offset(place), target, at, bytes);
        persistent.release(place, nowNanos);
        return true;
    }

    /** Unmaps pages that the guest does not use any more. Returns how many stay mapped. */
    int expire(long nowNanos) {
        if (persistent == null) {
            return 0;
        }
        persistent.expire(nowNanos, IDLE_NANOS, EXPIRE_AT_A_TIME);
        return persistent.mapped();
    }

    /** Unmaps everything. No request is in flight any more. */
    @Override
    public void close() {
        if (persistent != null) {
            persistent.close();
        }
    }

    private boolean placeInGuest(InFlight flight, long nowNanos) {
        if (persistent == null) {
            return false;
        }
        BlkifRequest request = flight.request;
        MemorySegment pages = persistent.memory();
        flight.list.clear();
        for (int i = 0; i < request.segmentCount(); i++) {
            int place = persistent.acquire(request.gref(i));
            if (place == PersistentGrants.NONE) {
                releasePlaces(flight, i, nowNanos);
                return false;
            }
            flight.places[i] = place;
            flight.list.add(pages, PersistentGrants.offset(place) + request.segmentOffset(i), request.segmentBytes(i));
        }
        flight.mapped = true;
        return true;
    }

    private boolean placeInPool(InFlight flight) {
        int bytes = flight.request.totalBytes();
        int pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;
        int first = pool.take(pages);
        if (first == PayloadPool.NONE) {
            return false;
        }
        flight.firstPoolPage = first;
        flight.poolPages = pages;
        flight.list.clear();
        flight.list.add(pool.memory(), (long) first * PAGE_BYTES, bytes);
        return true;
    }

    private void releasePlaces(InFlight flight, int count, long nowNanos) {
        for (int i = 0; persistent != null && i < count; i++) {
            persistent.release(flight.places[i], nowNanos);
        }
    }
}
