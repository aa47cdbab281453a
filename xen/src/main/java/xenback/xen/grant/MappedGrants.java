package xenback.xen.grant;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Arrays;
import xenback.xen.XenException;

/**
 * A bounded number of one guest's pages that stay mapped, found by gref: the places of a {@link GrantWindow}, a stack of the empty
 * ones, and a hash table with linear probing that leads from gref to place. What stays and for how long, its user decides. One
 * thread; nothing is allocated after construction but what the window needs.
 */
public final class MappedGrants implements AutoCloseable {
    /** No place. */
    public static final int NONE = -1;

    private static final int PAGE_BYTES = GrantCopyBatch.PAGE_BYTES;

    /**
     * Each page is a mapping of its own for the kernel, which allows a process so many, threads and heap included: guests together
     * must not use them up, or rings could not be mapped any more and the JVM would end (of the kind of XSA-300).
     */
    static final PageBudget MAPPINGS = PageBudget.halfOf(Path.of("/proc/sys/vm/max_map_count"), 65_530);

    private final PageBudget budget;
    private final GrantWindow window;
    private final int[] grefs;

    // Places that hold nothing, as a stack.
    private final int[] empty;
    private int emptyCount;

    private final int[] table;
    private final int tableMask;

    /** @param places most pages that are mapped at once, at least 1 */
    public MappedGrants(GrantTable grants, int domid, int places) throws XenException {
        this(grants, domid, places, MAPPINGS);
    }

    MappedGrants(GrantTable grants, int domid, int places, PageBudget budget) throws XenException {
        this.budget = budget;
        window = grants.openWindow(domid, places);
        grefs = new int[places];
        empty = new int[places];
        for (int i = 0; i < places; i++) {
            empty[i] = places - 1 - i;
        }
        emptyCount = places;
        table = new int[Integer.highestOneBit(places) * 4]; // at most half full
        tableMask = table.length - 1;
        Arrays.fill(table, NONE);
    }

    /** All places side by side; unmapped ones must not be touched. */
    public MemorySegment memory() {
        return window.memory();
    }

    /** Bytes into {@link #memory} at which a place starts. */
    public static long offset(int place) {
        return (long) place * PAGE_BYTES;
    }

    /** Places in all. */
    public int capacity() {
        return grefs.length;
    }

    /** Places that hold nothing. */
    public int empty() {
        return emptyCount;
    }

    /** Pages that are mapped now. */
    public int mapped() {
        return grefs.length - emptyCount;
    }

    /** Where a gref is mapped, or {@link #NONE}. */
    public int find(int gref) {
        return table[slotOf(gref)];
    }

    /**
     * Maps a gref that is not mapped. Returns its place, or {@link #NONE} if none is empty, the grant is refused, or this
     * process has too many pages mapped for all guests together.
     */
    public int map(int gref, boolean toWrite) {
        if (emptyCount == 0 || !budget.take(1)) {
            return NONE;
        }
        int place = empty[emptyCount - 1];
        if (!window.put(place, gref, toWrite)) {
            budget.give(1);
            return NONE;
        }
        emptyCount--;
        grefs[place] = gref;
        table[slotOf(gref)] = place;
        return place;
    }

    /** Unmaps the page of a place that holds one. */
    public void unmap(int place) {
        window.remove(place); // first: if that fails the page is still there
        removeFromTable(slotOf(grefs[place]));
        empty[emptyCount++] = place;
        budget.give(1);
    }

    /** Unmaps everything. */
    @Override
    public void close() {
        window.close();
        budget.give(mapped());
        emptyCount = grefs.length;
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
}
