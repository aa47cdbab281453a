package xenback.net.backend;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.BitSet;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetControl.Answer;
import xenback.xen.XenException;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.GrantWindow;

/**
 * The guest's pages that stay mapped for one queue at its own request (netif.h, ADD_GREF_MAPPING): their frames are copied
 * without the hypervisor. Found by gref, over a hash table with linear probing. The queue's thread.
 */
final class StagedGrants implements AutoCloseable {
    /** No place: the page is not mapped. */
    static final int NONE = -1;

    private static final int PAGE_BYTES = 4096;

    private final GrantWindow window;
    private final int[] grefs;
    private final BitSet writable;

    // Places that hold nothing, as a stack.
    private final int[] empty;
    private int emptyCount;

    private final int[] table;
    private final int tableMask;

    StagedGrants(GrantTable grants, int domid, int places) throws XenException {
        window = grants.openWindow(domid, places);
        grefs = new int[places];
        writable = new BitSet(places);
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

    /** Bytes into {@link #memory} at which a mapped page is, or {@link #NONE}. No allocation. */
    long find(int gref, boolean toWrite) {
        int place = table[slotOf(gref)];
        return place == NONE || toWrite && !writable.get(place) ? NONE : (long) place * PAGE_BYTES;
    }

    int capacity() {
        return grefs.length;
    }

    /** Pages that are mapped now. */
    int mapped() {
        return grefs.length - emptyCount;
    }

    /** Maps all grants of a list, or none. */
    Answer add(MemorySegment list, int count) {
        if (count > emptyCount) {
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
        int at = slotOf(gref);
        if (table[at] != NONE) {
            return false; // twice, or mapped already
        }
        int place = empty[emptyCount - 1];
        if (!window.put(place, gref, toWrite)) {
            return false;
        }
        emptyCount--;
        grefs[place] = gref;
        writable.set(place, toWrite);
        table[at] = place;
        return true;
    }

    private boolean remove(int gref) {
        int at = slotOf(gref);
        int place = table[at];
        if (place == NONE) {
            return false;
        }
        closeGap(at);
        window.remove(place);
        empty[emptyCount++] = place;
        return true;
    }

    private int slotOf(int gref) {
        int at = home(gref);
        while (table[at] != NONE && grefs[table[at]] != gref) {
            at = at + 1 & tableMask;
        }
        return at;
    }

    /** Closes the gap that an entry leaves, so that no probe ends before its goal (Knuth 6.4, algorithm R). */
    private void closeGap(int at) {
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

    private int home(int gref) {
        return (gref * 0x9E3779B9) >>> 16 & tableMask;
    }

    /** Unmaps everything. */
    @Override
    public void close() {
        window.close();
    }
}
