package xenback.block.backend;

import java.lang.foreign.Arena;
import xenback.block.protocol.BlkifLayout;
import xenback.block.protocol.BlkifRequest;
import xenback.xen.io.ScatterList;

/**
 * A request between its slot and its response: the decoded copy, and where its bytes are. One object per ring slot, used
 * again for ever; room for segments grows with the largest request that it ever held.
 */
final class InFlight {
    /** How far a request with several operations of the disk has come. */
    enum Phase {
        FIRST,
        WRITE,
        LAST_FLUSH
    }

    final BlkifRequest request = new BlkifRequest();
    Phase phase = Phase.FIRST;

    /** The payload for the disk, in the pool or in the guest's own pages. */
    ScatterList list;

    /** True if the payload is in the guest's pages, which are at {@link #places}; else it is in the pool. */
    boolean mapped;

    /** By segment: the place of its page among the persistent grants. */
    int[] places = new int[BlkifLayout.MAX_SEGMENTS];

    /** The run of pages in the pool; none if {@link #poolPages} is 0. */
    int firstPoolPage;

    int poolPages;

    /** Of this request in the batch that carries its payload. */
    int firstEntry;

    InFlight(Arena arena) {
        list = new ScatterList(BlkifLayout.MAX_SEGMENTS, arena);
    }

    /** Makes room for the segments of the request in {@link #places} and {@link #list}. */
    void makeRoom(Arena arena) {
        int count = request.segmentCount();
        if (places.length < count) {
            places = new int[count];
            list = new ScatterList(count, arena);
        }
    }
}
