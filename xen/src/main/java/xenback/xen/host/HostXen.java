package xenback.xen.host;

import java.nio.file.Files;
import java.nio.file.Path;
import xenback.xen.Errno;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantTable;
import xenback.xen.store.StoreClient;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/** What a Linux domain of a Xen gets from it: dom0 or a driver domain. */
public final class HostXen implements Xen {
    /** Where xenstored listens in the domain that runs it. */
    private static final Path SOCKET = Path.of("/run/xenstored/socket");

    private static final Path XENBUS = Path.of("/dev/xen/xenbus");

    private final XenStore store;
    private final int domid;

    private HostXen(XenStore store, int domid) {
        this.store = store;
        this.domid = domid;
    }

    /** Connects to the store: by the socket where xenstored runs in this domain, else through the kernel. */
    public static HostXen open() throws XenException {
        String named = System.getenv("XENSTORED_PATH");
        Path path = named != null ? Path.of(named) : Files.exists(SOCKET) ? SOCKET : XENBUS;
        if (!Files.exists(path)) {
            throw new XenException(
                    Errno.ENOENT,
                    path + ": not there; is this a domain of a Xen with the module xenfs or xen-evtchn loaded?");
        }
        boolean device = path.startsWith("/dev") || path.startsWith("/proc");
        XenStore store = device ? StoreClient.connectThroughKernel(path) : StoreClient.connect(path);
        try {
            // A relative path is one below our own home; whoever is on the socket has domain 0's rights.
            int domid = device ? Integer.parseInt(store.require(StorePath.of("domid"))) : 0;
            return new HostXen(store, domid);
        } catch (XenException | NumberFormatException e) {
            store.close();
            throw new XenException(Errno.EIO, path + ": does not tell this domain's number", e);
        }
    }

    @Override
    public int domid() {
        return domid;
    }

    @Override
    public XenStore store() {
        return store;
    }

    @Override
    public EventChannels openEventChannels(int remoteDomid) throws XenException {
        return HostEventChannels.open(remoteDomid);
    }

    @Override
    public GrantTable openGrantTable() throws XenException {
        return HostGrantTable.open(domid);
    }

    @Override
    public void close() {
        store.close();
    }
}
