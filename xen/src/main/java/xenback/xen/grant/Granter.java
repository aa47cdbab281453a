package xenback.xen.grant;

import java.lang.foreign.MemorySegment;
import xenback.xen.XenException;

/** The granting side, which a frontend needs: memory that can be granted, and the table of what is granted. */
public interface Granter {
    /** Takes {@code count} zeroed pages, contiguous in this process and in the domain's frames. */
    Pages allocatePages(int count) throws XenException;

    /** Gives pages back. None of them may be granted any more. */
    void freePages(Pages pages);

    /** Reserves {@code count} grant references. Fails with ENOSPC at the table's end. */
    int[] allocateGrefs(int count) throws XenException;

    /** Gives references back; each has been ended. */
    void freeGrefs(int[] grefs);

    /** Lets {@code domid} access one frame through {@code gref}. No allocation. */
    void grant(int gref, int domid, int frame, boolean readOnly);

    /** Ends access. False while the other domain still uses the page: then it stays granted. No allocation. */
    boolean end(int gref);

    /**
     * Pages of this domain.
     *
     * @param memory the pages, 4096 bytes each
     * @param firstFrame frame number of the first; the rest follow
     */
    record Pages(MemorySegment memory, int firstFrame) {}
}
