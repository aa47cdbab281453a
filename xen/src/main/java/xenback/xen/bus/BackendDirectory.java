package xenback.xen.bus;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.bus.BackendMachine.Seen;
import xenback.xen.store.StoreAccess;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * A device's directory in the store, and the error node that belongs to it. Whatever is written goes in one transaction that
 * first looks whether the directory is still there: one that the toolstack has removed must not come back
 * (xenbus_client.c, __xenbus_switch_state).
 */
final class BackendDirectory {
    private static final String ERROR = "error";
    private static final String STATE = "state";
    private static final String ONLINE = "online";
    private static final String HOTPLUG_STATUS = "hotplug-status";

    private final XenStore store;
    private final BackendDriver.Address address;
    private final StorePath backend;
    private final int domid;

    /** For a device of the domain {@code domid}, which is ours. */
    BackendDirectory(XenStore store, BackendDriver.Address address, int domid) {
        this.store = store;
        this.address = address;
        this.domid = domid;
        backend = address.backend();
    }

    /** The frontend's directory, as the toolstack named it; empty if ours is not there. */
    Optional<StorePath> frontend() throws XenException {
        Optional<String> text = store.read(backend.child("frontend"));
        if (text.isEmpty()) {
            return Optional.empty();
        }
        String home = store.domainPath(address.frontendDomid()).text();
        // A toolstack's slip, or a stale node of a reused domid, must not make us read another guest's directory.
        if (!text.get().startsWith(home + "/") || !StorePath.isValid(text.get())) {
            throw new XenException(
                    Errno.EINVAL,
                    address.xenbusPath() + ": its frontend is not in the home of domain " + address.frontendDomid());
        }
        return text.map(StorePath::of);
    }

    /**
     * What the store says now.
     *
     * @param dwelled state 2 has been held long enough for libxl to have seen it
     */
    Seen look(StorePath frontend, boolean dwelled) throws StoreException {
        return store.transaction(access -> {
            Optional<String> own = access.read(backend.child(STATE));
            boolean online = access.read(backend.child(ONLINE)).orElse("0").equals("1");
            String hotplug = access.read(backend.child(HOTPLUG_STATUS)).orElse("");
            String peer = access.read(frontend.child(STATE)).orElse("");
            boolean hotplugOver = switch (HotplugStatus.parse(hotplug)) {
                case CONNECTED -> true;
                case FAILED -> false; // for the script's reason, such as a store that another guest uses
                case NONE -> dwelled;
            };
            return new Seen(
                    own.isPresent(), XenbusState.parse(own.orElse("")), XenbusState.parse(peer), online, hotplugOver);
        });
    }

    /** Writes nodes and then a state. Returns false if the directory is gone. */
    boolean publish(Map<String, String> nodes, XenbusState state) throws StoreException {
        return store.transaction(access -> {
            if (!access.exists(backend.child(STATE))) {
                return false;
            }
            write(access, nodes);
            access.write(backend.child(STATE), state.text());
            return true;
        });
    }

    /**
     * Writes new values of nodes that the frontend has read at 4, if our state is 4; does nothing otherwise.
     *
     * @param announce write the state again too
     */
    void update(Map<String, String> nodes, boolean announce) throws StoreException {
        store.transaction(access -> {
            if (access.read(backend.child(STATE)).orElse("").equals(XenbusState.CONNECTED.text())) {
                write(access, nodes);
                if (announce) {
                    access.write(backend.child(STATE), XenbusState.CONNECTED.text());
                }
            }
            return true;
        });
    }

    /** Writes nodes, if the directory is there. */
    void tell(Map<String, String> nodes) throws StoreException {
        store.transaction(access -> {
            if (access.exists(backend.child(STATE))) {
                write(access, nodes);
            }
            return true;
        });
    }

    private void write(StoreAccess access, Map<String, String> nodes) throws StoreException {
        for (Map.Entry<String, String> node : nodes.entrySet()) {
            access.write(backend.child(node.getKey()), node.getValue());
        }
    }

    /** Tells the toolstack what went wrong, where Linux' xenbus_dev_error does. */
    void recordError(String what) throws StoreException {
        store.write(errorNode(), what);
    }

    /** Takes back what {@link #recordError} said, and the nodes above it that nothing else is below, up to {@code error}. */
    void clearError() throws StoreException {
        StorePath node = errorNode();
        store.transaction(access -> {
            // In a driver domain what is above may not be ours: then there is nothing of ours in it either.
            if (readableChildren(access, node.parent()).contains(node.key()) && removed(access, node)) {
                StorePath above = node.parent();
                while (!above.key().equals(ERROR)
                        && readableChildren(access, above).isEmpty()
                        && removed(access, above)) {
                    above = above.parent();
                }
            }
            return true;
        });
    }

    private StorePath errorNode() throws StoreException {
        return store.domainPath(domid).child(ERROR).child(address.xenbusPath()).child(ERROR);
    }

    private static List<String> readableChildren(StoreAccess access, StorePath path) throws StoreException {
        try {
            return access.directory(path);
        } catch (StoreException e) {
            throwUnlessForbidden(e);
            return List.of();
        }
    }

    private static boolean removed(StoreAccess access, StorePath path) throws StoreException {
        try {
            access.remove(path);
            return true;
        } catch (StoreException e) {
            throwUnlessForbidden(e);
            return false;
        }
    }

    private static void throwUnlessForbidden(StoreException e) throws StoreException {
        if (e.errno() != Errno.EACCES && e.errno() != Errno.EPERM) {
            throw e;
        }
    }

    /** Removes the directory if the toolstack has asked for the end of the device and it is at its end. */
    void removeIfOver() throws StoreException {
        store.transaction(access -> {
            boolean offline = access.read(backend.child(ONLINE)).orElse("1").equals("0");
            boolean over = access.read(backend.child(STATE)).orElse("").equals(XenbusState.CLOSED.text());
            if (offline && over) {
                access.remove(backend);
            }
            return true;
        });
    }
}
