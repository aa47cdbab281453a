package xenback.net.backend;

import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetControl.Answer;
import xenback.xen.XenException;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.MappedGrants;

/**
 * The guest's pages that stay mapped for one queue at its own request (netif.h, ADD_GREF_MAPPING): their frames are copied
 * without the hypervisor. The queue's thread.
 */
final class StagedGrants implements AutoCloseable {
    /** No place: the page is not mapped. */
    static final int NONE = MappedGrants.NONE;

    private final MappedGrants mapped;
    private final BitSet writable;

    StagedGrants(GrantTable grants, int domid, int places) throws XenException {
        mapped = new MappedGrants(grants, domid, places);
        writable = new BitSet(places);
    }

    /** All places side by side. */
    MemorySegment memory() {
        return mapped.memory();
    }

    /** Bytes into {@link #memory} at which a mapped page is, or {@link #NONE}. No allocation. */
    long find(int gref, boolean toWrite) {
        int place = mapped.find(gref);
        return place == NONE || toWrite && !writable.get(place) ? NONE : MappedGrants.offset(place);
    }

    int capacity() {
        return mapped.capacity();
    }

    /** Pages that are mapped now. */
    int mapped() {
        return mapped.mapped();
    }

    /** Maps all grants of a list, or none. */
    Answer add(MemorySegment list, int count) {
        if (count > mapped.empty()) {
            return Answer.OVERFLOW;
        }
        for (int i = 0; i < count; i++) {
            if (!add(NetControl.gref(list, i), !NetControl.readOnly(list, i))) {
                while (--i >= 0) {
                    remove(NetControl.gref(list, i));
                }
                return Answer.INVALID;
            }
        }
        return Answer.SUCCESS;
    }

    /** Unmaps the grants of a list, writes into it what became of each, and tells how many were unmapped. */
    Answer remove(MemorySegment list, int count) {
        int removed = 0;
        for (int i = 0; i < count; i++) {
            boolean done = remove(NetControl.gref(list, i));
            removed += done ? 1 : 0;
            NetControl.putStatus(list, i, done ? NetControl.STATUS_SUCCESS : NetControl.STATUS_INVALID_PARAMETER);
        }
        return Answer.of(removed);
    }

    private boolean add(int gref, boolean toWrite) {
        if (mapped.find(gref) != NONE) {
            return false; // twice, or mapped already
        }
        int place = mapped.map(gref, toWrite);
        if (place == NONE) {
            return false;
        }
        writable.set(place, toWrite);
        return true;
    }

    private boolean remove(int gref) {
        int place = mapped.find(gref);
        if (place == NONE) {
            return false;
        }
        mapped.unmap(place);
        return true;
    }

    /** Unmaps everything. */
    @Override
    public void close() {
        mapped.close();
    }
}
