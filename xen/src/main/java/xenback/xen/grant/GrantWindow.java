package xenback.xen.grant;

import java.lang.foreign.MemorySegment;

/**
 * A stretch of memory of this process into which single pages of one other domain are put, each at a place of its own, and
 * taken out again: for grants that stay mapped. One thread at a time; {@link #close} after the last use.
 *
 * <p>A place that holds no page reads as zeroes and can be written without any effect, so that a late access neither crashes
 * nor reaches a guest.
 */
public interface GrantWindow extends AutoCloseable {
    /** All places side by side, 4096 bytes each. Access after {@link #close} throws IllegalStateException. */
    MemorySegment memory();

    /**
     * Maps a page at a place that holds none.
     *
     * @param writable false maps for reading only, which is all that some grants allow; whoever then writes to the place ends
     *     this process
     * @return false if the hypervisor refused the grant; whoever wants to know why performs a copy
     */
    boolean put(int place, int gref, boolean writable);

    /** Unmaps the page of a place; the guest may then have it back. The caller has drained all use of it. */
    void remove(int place);

    /** Unmaps every page. */
    @Override
    void close();
}
