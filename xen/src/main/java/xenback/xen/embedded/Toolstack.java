package xenback.xen.embedded;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.bus.XenbusState;
import xenback.xen.store.StoreAccess;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;
import xenback.xen.store.StorePermission.Access;
import xenback.xen.store.StoreWatch;
import xenback.xen.store.XenStore;

/**
 * Does to the store what libxl does when it attaches and removes a device (libxl_device.c), hotplug script included, so that
 * backends meet here what they meet under xl: all nodes in one transaction, state 2 awaited for ten seconds, then the script,
 * and at the end 5, six awaited, directories removed.
 */
public final class Toolstack {
    /** LIBXL_INIT_TIMEOUT and LIBXL_DESTROY_TIMEOUT. */
    private static final Duration STATE_TIMEOUT = Duration.ofSeconds(10);

    /** LIBXL_HOTPLUG_TIMEOUT. */
    private static final Duration HOTPLUG_TIMEOUT = Duration.ofSeconds(40);

    private final XenStore store;

    /** A toolstack that works with domain 0's rights. */
    public Toolstack(XenStore store) {
        this.store = store;
    }

    /**
     * A device to attach.
     *
     * @param backendKind directory below {@code backend}, such as {@code vbd}
     * @param frontendKind directory below {@code device}
     * @param backendNodes what libxl writes into the backend's directory, without the generic keys
     * @param frontendNodes the same for the frontend's
     */
    public record Device(
            String backendKind,
            String frontendKind,
            int backendDomid,
            int frontendDomid,
            int devid,
            SequencedMap<String, String> backendNodes,
            SequencedMap<String, String> frontendNodes) {}

    /** Makes the home of a new domain, which may write below {@code device} and a few more places, and read the rest. */
    public void createHome(int domid, String name) throws StoreException {
        StorePath home = store.domainPath(domid);
        store.transaction(access -> {
            access.mkdir(home);
            access.setPermissions(home, List.of(permission(Access.NONE, 0), permission(Access.READ, domid)));
            access.write(home.child("name"), name);
            access.write(home.child("domid"), Integer.toString(domid));
            for (String own : List.of("data", "control/shutdown", "error", "drivers", "attr")) {
                access.mkdir(home.child(own));
                access.setPermissions(home.child(own), List.of(permission(Access.NONE, domid)));
            }
            for (String readable : List.of("device", "backend")) {
                access.mkdir(home.child(readable));
            }
            return true;
        });
    }

    /** Removes what {@link #createHome} made and all below it. */
    public void removeHome(int domid) throws StoreException {
        store.remove(store.domainPath(domid));
    }

    /**
     * Writes both directories of a device, waits for its backend and runs the script's part.
     *
     * @return the frontend's directory
     * @throws XenException the backend's own words (hotplug-error) if it could not serve the device; ETIMEDOUT-like silence
     *     is EBUSY. Nothing is left behind then.
     */
    public StorePath attach(Device device) throws XenException {
        StorePath backend = backendPath(device);
        StorePath frontend = frontendPath(device);
        store.transaction(access -> {
            if (access.exists(frontend)) {
                throw new StoreException(Errno.EEXIST, "device " + frontend + " exists");
            }
            write(access, device, backend, frontend);
            return true;
        });
        try {
            if (!awaitState(backend, XenbusState.INIT_WAIT, STATE_TIMEOUT)) {
                throw new XenException(
                        Errno.EBUSY, "no backend has taken " + backend + " within " + STATE_TIMEOUT.toSeconds() + " s");
            }
            runScript(backend);
        } catch (XenException e) {
            remove(device);
            throw e;
        }
        return frontend;
    }

    /**
     * Removes a device: asks the backend, waits for it and deletes the directories; after the time-out, or if {@code force},
     * by deleting the frontend's first.
     */
    public void detach(Device device, boolean force) throws XenException {
        StorePath backend = backendPath(device);
        boolean asked = store.transaction(access -> {
            if (!access.exists(backend)) {
                return false;
            }
            access.write(backend.child("online"), "0");
            if (!access.read(backend.child("state")).orElse("").equals(XenbusState.CLOSED.text())) {
                access.write(backend.child("state"), XenbusState.CLOSING.text());
            }
            return true;
        });
        if (!asked) {
            return;
        }
        if (force || !awaitState(backend, XenbusState.CLOSED, STATE_TIMEOUT)) {
            store.remove(frontendPath(device));
            awaitState(backend, XenbusState.CLOSED, STATE_TIMEOUT);
        }
        remove(device);
    }

    /** The hotplug script: waits for the word of the backend on its store, and passes it on. */
    private void runScript(StorePath backend) throws XenException {
        StorePath status = backend.child("store-status");
        boolean spoken = await(status, HOTPLUG_TIMEOUT, value -> !value.isEmpty());
        if (spoken && store.read(status).orElse("").equals("open")) {
            store.write(backend.child("hotplug-status"), "connected");
            return;
        }
        Optional<String> why = store.read(backend.child("hotplug-error"));
        store.write(backend.child("hotplug-status"), "error");
        throw new XenException(Errno.EIO, why.orElse("the backend of " + backend + " does not open its store"));
    }

    private void remove(Device device) throws StoreException {
        store.remove(frontendPath(device));
        store.remove(backendPath(device));
    }

    private static void write(StoreAccess access, Device device, StorePath backend, StorePath frontend)
            throws StoreException {
        // libxl__device_generic_add: each side owns its own directory and may read the other's.
        access.mkdir(frontend);
        access.setPermissions(
                frontend,
                List.of(
                        permission(Access.NONE, device.frontendDomid()),
                        permission(Access.READ, device.backendDomid())));
        access.write(frontend.child("backend"), backend.text());
        access.write(frontend.child("backend-id"), Integer.toString(device.backendDomid()));
        access.write(frontend.child("state"), XenbusState.INITIALISING.text());
        for (Map.Entry<String, String> node : device.frontendNodes().entrySet()) {
            access.write(frontend.child(node.getKey()), node.getValue());
        }
        access.mkdir(backend);
        access.setPermissions(
                backend,
                List.of(
                        permission(Access.NONE, device.backendDomid()),
                        permission(Access.READ, device.frontendDomid())));
        access.write(backend.child("frontend"), frontend.text());
        access.write(backend.child("frontend-id"), Integer.toString(device.frontendDomid()));
        access.write(backend.child("online"), "1");
        for (Map.Entry<String, String> node : device.backendNodes().entrySet()) {
            access.write(backend.child(node.getKey()), node.getValue());
        }
        access.write(backend.child("state"), XenbusState.INITIALISING.text());
    }

    private boolean awaitState(StorePath backend, XenbusState wanted, Duration atMost) throws StoreException {
        return await(backend.child("state"), atMost, value -> value.equals(wanted.text()));
    }

    private boolean await(StorePath node, Duration atMost, java.util.function.Predicate<String> wanted)
            throws StoreException {
        ReentrantLock lock = new ReentrantLock();
        Condition changed = lock.newCondition();
        boolean[] fired = {true};
        StoreWatch watch = store.watch(node, paths -> {
            lock.lock();
            try {
                fired[0] = true;
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        });
        try {
            long nanosLeft = atMost.toNanos();
            while (true) {
                lock.lock();
                try {
                    while (!fired[0]) {
                        if (nanosLeft <= 0) {
                            return false;
                        }
                        nanosLeft = changed.awaitNanos(nanosLeft);
                    }
                    fired[0] = false;
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    return false;
                } finally {
                    lock.unlock();
                }
                if (wanted.test(store.read(node).orElse(""))) {
                    return true;
                }
            }
        } finally {
            watch.close();
        }
    }

    private StorePath backendPath(Device device) throws StoreException {
        return store.domainPath(device.backendDomid())
                .child("backend")
                .child(device.backendKind())
                .child(device.frontendDomid())
                .child(device.devid());
    }

    private StorePath frontendPath(Device device) throws StoreException {
        return store.domainPath(device.frontendDomid())
                .child("device")
                .child(device.frontendKind())
                .child(device.devid());
    }

    private static StorePermission permission(Access access, int domid) {
        return new StorePermission(access, domid);
    }
}
