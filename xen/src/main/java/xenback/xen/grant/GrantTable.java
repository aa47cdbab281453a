package xenback.xen.grant;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import xenback.xen.XenException;

/** A handle to the pages that other domains grant to this one; the rules of /dev/xen/gntdev. */
public interface GrantTable extends AutoCloseable {
    /**
     * Maps pages contiguously, all of them or none.
     *
     * @param domid the domain that granted them
     * @param grefs one per page, in the order wanted in memory
     * @param writable false maps read-only, so that a bug here cannot write to the guest
     * @throws XenException EINVAL if any gref is refused; EAGAIN tried again and given up
     */
    GrantMapping map(int domid, int[] grefs, boolean writable) throws XenException;

    /**
     * Reserves memory into which single pages of a domain can be put.
     *
     * @param places how many pages it holds at most
     */
    GrantWindow openWindow(int domid, int places) throws XenException;

    /**
     * Memory for the local ends of copies, zeroed and beginning with a page. A copy costs least whose local end lies in one of the
     * first pages of what is allocated first; how many those are is the hypervisor's affair.
     * Any thread, before the first copy.
     *
     * @param owner frees it
     * @throws OutOfMemoryError as {@link Arena#allocate(long, long)}
     */
    MemorySegment allocateLocal(Arena owner, long bytes);

    /**
     * Performs every entry of the batch and leaves a status in each. Never throws for what a guest did, no allocation.
     * Returns the number of entries whose status is not {@link GrantStatus#OKAY}.
     */
    int copy(GrantCopyBatch batch);

    @Override
    void close();
}
