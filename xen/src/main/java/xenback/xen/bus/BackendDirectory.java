package xenback.xen.bus;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import xenback.xen.Errno;
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

    /**
     * What the directory says, read in one transaction.
     *
     * @param present false if it is gone
     * @param frontend where the toolstack says that the frontend is, {@code frontendDomid} in which domain; empty if it says
     *     nothing
     */
    record Look(
            boolean present,
            XenbusState own,
            boolean online,
            HotplugStatus hotplug,
            String frontend,
            String frontendDomid) {
        /** Before the first look. */
        static final Look NONE = new Look(false, XenbusState.UNKNOWN, false, HotplugStatus.NONE, "", "");

        Look withHotplug(HotplugStatus other) {
            return new Look(present, own, online, other, frontend, frontendDomid);
        }
    }

    /**
     * Reads our directory. The frontend's state is read apart from it ({@link #peer}): in one transaction with ours, a guest
     * that keeps writing it would make every attempt fail, and hide from us what the toolstack wants.
     */
    Look look() throws StoreException {
        return store.transaction(this::look);
    }

    private Look look(StoreAccess access) throws StoreException {
        Optional<String> own = access.read(backend.child(STATE));
        return new Look(
                own.isPresent(),
                XenbusState.parse(own.orElse("")),
                access.read(backend.child(ONLINE)).orElse("0").equals("1"),
                HotplugStatus.parse(access.read(backend.child(HOTPLUG_STATUS)).orElse("")),
                access.read(backend.child("frontend")).orElse(""),
                access.read(backend.child("frontend-id")).orElse(""));
    }

    /** What the toolstack has written besides, but for what scripts and we say meanwhile. */
    Map<String, String> written() throws StoreException {
        return store.transaction(access -> {
            Map<String, String> nodes = new LinkedHashMap<>();
            for (String key : access.directory(backend)) {
                if (!key.startsWith("hotplug-") && !key.equals(STATE) && !key.equals("store-status")) {
                    nodes.put(key, access.read(backend.child(key)).orElse(""));
                }
            }
            return nodes;
        });
    }

    /**
     * The frontend's state. What a guest hides from us counts as gone: it may not keep us from letting go.
     *
     * @param key {@link BackendDriver.Instance#saidByFrontend}: at 3 without it the frontend is at its beginning still
     */
    XenbusState peer(StorePath frontend, String key) throws StoreException {
        XenbusState state = XenbusState.parse(readHostile(frontend.child(STATE)));
        boolean hasSaidAll = state != XenbusState.INITIALISED
                || key.isEmpty()
                || !readHostile(frontend.child(key)).isEmpty();
        return hasSaidAll ? state : XenbusState.INITIALISING;
    }

    /** True if the frontend, too, says that it is ours: not one that stands where another's was. */
    boolean isOurs(StorePath frontend) throws StoreException {
        return readHostile(frontend.child("backend")).equals(backend.text());
    }

    /** In a driver domain a node that is gone answers EACCES as well, for its absence is the guest's secret. */
    private String readHostile(StorePath path) throws StoreException {
        try {
            return store.read(path).orElse("");
        } catch (StoreException e) {
            throwUnlessForbidden(e);
            return "";
        }
    }

    /**
     * The frontend's directory. Empty if what is named cannot be the one of this device: a toolstack's slip, or a stale node
     * of a domid that is used again (XSA-322), must not make us read another guest's directory.
     */
    Optional<StorePath> frontend(Look look) throws StoreException {
        String home = store.domainPath(address.frontendDomid()).text();
        return look.frontendDomid().equals(Integer.toString(address.frontendDomid()))
                        && look.frontend().startsWith(home + "/")
                        && StorePath.isValid(look.frontend())
                ? Optional.of(StorePath.of(look.frontend()))
                : Optional.empty();
    }

    /**
     * Writes nodes and then a state, unless what the toolstack writes is not what it was at the look that this follows from:
     * its 5 must not be overwritten, 6 on its behalf has more to come before it, and a hotplug script that has failed
     * meanwhile wants no 4.
     *
     * @param written more nodes that must be what they were, of {@link #written}
     * @return false if nothing was written, because the directory has changed or is gone
     */
    boolean publish(Look since, Map<String, String> written, Map<String, String> nodes, XenbusState state)
            throws StoreException {
        return store.transaction(access -> {
            Look now = look(access);
            // What a script says in the meantime is no reason to begin anew.
            Look seen = state == XenbusState.CONNECTED ? now : now.withHotplug(since.hotplug());
            if (!now.present() || !seen.equals(since)) {
                return false;
            }
            for (Map.Entry<String, String> node : written.entrySet()) {
                if (!access.read(backend.child(node.getKey())).orElse("").equals(node.getValue())) {
                    return false;
                }
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
        store.write(errorNode(), BoundedLog.bounded(what));
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

    /** Writes what the toolstack has meant by a 6 of its own, if that is there still. */
    void sayOffline() throws StoreException {
        store.transaction(access -> {
            if (access.read(backend.child(STATE)).orElse("").equals(XenbusState.CLOSED.text())) {
                access.write(backend.child(ONLINE), "0");
            }
            return true;
        });
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
