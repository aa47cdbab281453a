package xenback.xen.bus;

import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StoreWatch;
import xenback.xen.store.XenStore;

/**
 * Finds the devices of one backend kind in the store and gives each its {@link BackendDevice}. One watch on the kind's
 * directory, which fires for every backend node below it, and one per device on its frontend's state.
 */
public final class BackendBus implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(BackendBus.class.getName());

    /** How long state 2 is held where no hotplug script speaks, so that libxl has certainly seen it. */
    private static final Duration DWELL = Duration.ofSeconds(1);

    private static final int DOMID_LIMIT = 0x7FF0;

    private record Key(int frontendDomid, int devid) {}

    private final Xen xen;
    private final String kind;
    private final BackendDriver driver;
    private final StorePath directory;
    private final StoreWatch watch;

    // Under the lock of this object.
    private final Map<Key, BackendDevice> devices = new HashMap<>();
    private boolean closed;

    private BackendBus(Xen xen, String kind, BackendDriver driver) throws XenException {
        this.xen = xen;
        this.kind = kind;
        this.driver = driver;
        XenStore store = xen.store();
        directory = store.domainPath(xen.domid()).child("backend").child(kind);
        watch = store.watch(directory, this::onChange);
    }

    /** Starts serving a kind: the devices that are there, and those that come. */
    public static BackendBus start(Xen xen, String kind, BackendDriver driver) throws XenException {
        return new BackendBus(xen, kind, driver);
    }

    /** Lets go of every device without a word in the store, waiting for requests in flight. */
    @Override
    public void close() {
        List<BackendDevice> open;
        synchronized (this) {
            closed = true;
            open = new ArrayList<>(devices.values());
        }
        watch.close();
        open.forEach(BackendDevice::release);
    }

    int domid() {
        return xen.domid();
    }

    Duration dwell() {
        return DWELL;
    }

    /** A device has ended. One that was removed may have been written anew before we noticed: look again. */
    synchronized void forget(BackendDevice device, BackendDriver.Address address, boolean removed) {
        devices.values().remove(device);
        if (removed) {
            onDevice(Integer.toString(address.frontendDomid()), Integer.toString(address.devid()));
        }
    }

    private void onChange(List<String> paths) {
        for (String path : paths) {
            String below = path.length() > directory.text().length()
                    ? path.substring(directory.text().length() + 1)
                    : "";
            String[] parts = below.split("/", 3);
            if (parts.length >= 2) {
                onDevice(parts[0], parts[1]);
            } else {
                enumerate(parts[0]);
            }
        }
    }

    /** Looks for devices of one guest, or of all. The toolstack may have written several in one transaction. */
    private void enumerate(String guest) {
        try {
            XenStore store = xen.store();
            List<String> guests = guest.isEmpty() ? store.directory(directory) : List.of(guest);
            for (String each : guests) {
                for (String devid : store.directory(directory.child(each))) {
                    onDevice(each, devid);
                }
            }
        } catch (XenException | IllegalArgumentException e) {
            LOG.log(Level.WARNING, "{0}: {1}", directory, e.getMessage());
        }
    }

    private synchronized void onDevice(String guest, String devid) {
        int frontendDomid = number(guest);
        int device = number(devid);
        if (frontendDomid < 0 || frontendDomid >= DOMID_LIMIT || device < 0 || closed) {
            return;
        }
        Key key = new Key(frontendDomid, device);
        BackendDevice known = devices.get(key);
        if (known != null) {
            known.poke();
            return;
        }
        StorePath path = directory.child(frontendDomid).child(device);
        try {
            XenStore store = xen.store();
            if (store.exists(path.child("frontend"))) {
                BackendDriver.Address address = new BackendDriver.Address(kind, frontendDomid, device, path);
                devices.put(key, new BackendDevice(this, store, address, driver.attach(address)));
            }
        } catch (XenException | IllegalArgumentException e) {
            LOG.log(Level.WARNING, "{0}: {1}", path, e.getMessage());
        }
    }

    /** Digits only, as the toolstack writes them; anything else is -1. */
    private static int number(String text) {
        if (text.isEmpty() || text.length() > 10) {
            return -1;
        }
        long value = 0;
        for (int i = 0; i < text.length(); i++) {
            int digit = text.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return -1;
            }
            value = value * 10 + digit;
        }
        return value <= Integer.MAX_VALUE ? (int) value : -1;
    }
}
