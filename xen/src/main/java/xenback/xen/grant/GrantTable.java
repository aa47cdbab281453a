package xenback.xen.grant;

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
     * Performs every entry of the batch and leaves a status in each. Never throws for what a guest did, no allocation.
     * Returns the number of entries whose status is not {@link GrantStatus#OKAY}.
     */
    int copy(GrantCopyBatch batch);

    @Override
    void close();
}
