package xenback.xen.bus;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import xenback.xen.Errno;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StoreWatch;
import xenback.xen.store.XenStore;

/**
 * Finds the devices of one backend kind in the store and gives each its {@link BackendDevice}. One watch on the kind's
 * directory, which fires for every backend node below it, and one per device on its frontend's state. What the watches
 * report only pokes: the store is read by the devices' threads and by that of the {@link Scan}.
 */
public final class BackendBus implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(BackendBus.class.getName());

    private static final int DOMID_LIMIT = 0x7FF0;

    private record Key(int frontendDomid, int devid) {}

    private final XenStore store;
    private final int domid;
    private final String kind;
    private final BackendDriver driver;
    private final Control.Pace pace;
    private final StorePath directory;
    private final StoreWatch watch;
    private final Control scan;

    // Under the lock of this object.
    private final Map<Key, BackendDevice> devices = new HashMap<>();
    private boolean closed;

    private BackendBus(XenStore store, int domid, String kind, BackendDriver driver, Control.Pace pace)
            throws XenException {
        this.store = store;
        this.domid = domid;
        this.kind = kind;
        this.driver = driver;
        this.pace = pace;
        directory = store.domainPath(domid).child("backend").child(kind);
        scan = new Control("backend/" + kind, new Scan(), pace);
        watch = store.watch(directory, this::onChange);
        scan.start();
    }

    /** Starts serving a kind: the devices that are there, and those that come. */
    public static BackendBus start(Xen xen, String kind, BackendDriver driver) throws XenException {
        return start(xen.store(), xen.domid(), kind, driver, Control.LIVE);
    }

    static BackendBus start(XenStore store, int domid, String kind, BackendDriver driver, Control.Pace pace)
            throws XenException {
        return new BackendBus(store, domid, kind, driver, pace);
    }

    /** Lets go of every device without a word in the store, waiting for requests in flight. */
    @Override
    public void close() {
        List<Control> running = new ArrayList<>();
        running.add(scan);
        synchronized (this) {
            closed = true;
            devices.values().forEach(device -> running.add(device.control()));
        }
        watch.close();
        running.forEach(Control::end);
        running.forEach(Control::awaitEnd);
    }

    int domid() {
        return domid;
    }

    Control.Pace pace() {
        return pace;
    }

    BackendDriver driver() {
        return driver;
    }

    synchronized Optional<BackendDevice> device(int frontendDomid, int devid) {
        return Optional.ofNullable(devices.get(new Key(frontendDomid, devid)));
    }

    /**
     * A device has ended.
     *
     * @param gone it had no directory any more; one that was written since is a new device
     */
    synchronized void forget(BackendDevice device, boolean gone) {
        Key key = new Key(device.address().frontendDomid(), device.address().devid());
        devices.remove(key, device);
        if (gone && device.control().hasNews()) {
            onDevice(key);
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
                pokeAll(number(parts[0]));
                scan.post(Mailbox.POKED);
            }
        }
    }

    /** Pokes the devices of one guest, or all if the number is negative: a directory above theirs has changed. */
    private synchronized void pokeAll(int guest) {
        devices.forEach((key, device) -> {
            if (guest < 0 || key.frontendDomid() == guest) {
                device.poke();
            }
        });
    }

    private void onDevice(String guest, String devid) {
        Key key = new Key(number(guest), number(devid));
        if (key.frontendDomid() >= 0 && key.frontendDomid() < DOMID_LIMIT && key.devid() >= 0) {
            onDevice(key);
        }
    }

    /** Pokes a device. One that is not known gets its thread, which looks whether there is one. */
    private synchronized void onDevice(Key key) {
        BackendDevice known = devices.get(key);
        if (known != null) {
            known.poke();
        } else if (!closed) {
            StorePath path = directory.child(key.frontendDomid()).child(key.devid());
            BackendDevice device = new BackendDevice(
                    this, store, new BackendDriver.Address(kind, key.frontendDomid(), key.devid(), path));
            devices.put(key, device);
            device.control().start();
        }
    }

    private synchronized boolean isKnown(String guest, String devid) {
        return devices.containsKey(new Key(number(guest), number(devid)));
    }

    /**
     * Looks for devices that are not known: the toolstack may have written several in one transaction. The first time also
     * for error nodes of devices that went while no process of ours was there; a device's thread removes them.
     */
    private final class Scan implements Control.Work {
        private final Patience patience = new Patience();
        private final BoundedLog log = new BoundedLog(LOG, "backend/" + kind);
        private boolean errorsSeen;

        @Override
        public long turn(int news) {
            try {
                look(directory);
                if (!errorsSeen) {
                    lookForErrors();
                    errorsSeen = true;
                }
                patience.renew();
                return Control.NO_ALARM;
            } catch (XenException | IllegalArgumentException e) {
                log.warn(e.getMessage(), pace.nanoTime());
                return patience.nextNanos();
            }
        }

        private void look(StorePath top) throws StoreException {
            for (String guest : store.directory(top)) {
                for (String devid : store.directory(top.child(guest))) {
                    if (!isKnown(guest, devid)) {
                        onDevice(guest, devid);
                    }
                }
            }
        }

        private void lookForErrors() throws StoreException {
            try {
                look(store.domainPath(domid).child("error").child("backend").child(kind));
            } catch (StoreException e) {
                if (e.errno() != Errno.EACCES) {
                    throw e; // in a driver domain that may not have an error node there are none
                }
            }
        }

        @Override
        public void end() {}
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
