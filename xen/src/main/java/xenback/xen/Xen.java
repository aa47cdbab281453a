package xenback.xen;

import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantTable;
import xenback.xen.store.XenStore;

/**
 * The port to a hypervisor: what one domain gets from Xen. Two implementations: the devices of a Linux domain
 * ({@code xen.host}) and the model in this process ({@code xen.embedded}).
 */
public interface Xen extends AutoCloseable {
    /** The number of the domain that we are, 0..0x7FEF. */
    int domid();

    /** The store, as this domain sees it. Shared by all users; closed with this port. */
    XenStore store();

    /**
     * Opens a fresh set of event channels towards one other domain. One set per guest, so that a guest's storm fills
     * only its own descriptor and, on a host, RESTRICT_DOMID can be used. The caller closes it, which unbinds its ports.
     */
    EventChannels openEventChannels(int remoteDomid) throws XenException;

    /** Opens a handle to other domains' grants. The caller closes it, after every mapping made through it. */
    GrantTable openGrantTable() throws XenException;

    @Override
    void close();
}
