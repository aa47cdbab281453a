package xenback.xen.bus;

import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import xenback.xen.XenException;
import xenback.xen.bus.BackendMachine.Effect;
import xenback.xen.bus.BackendMachine.Held;
import xenback.xen.bus.BackendMachine.Seen;
import xenback.xen.bus.BackendMachine.Store;
import xenback.xen.store.StoreAccess;
import xenback.xen.store.StorePath;
import xenback.xen.store.StoreWatch;
import xenback.xen.store.XenStore;

/**
 * One device of a backend: asks {@link BackendMachine} what to do and does it, on a control thread of its own, so that a
 * store that hangs or a guest that drains slowly holds up nobody else.
 */
final class BackendDevice {
    private static final System.Logger LOG = System.getLogger(BackendDevice.class.getName());

    /** More steps than any way through the machine has; a guest that changes its mind faster waits for the next poke. */
    private static final int STEPS_PER_POKE = 16;

    private static final long LOG_INTERVAL_NANOS = Duration.ofSeconds(1).toNanos();

    private static final String STATE = "state";
    private static final String HOTPLUG_STATUS = "hotplug-status";

    private final XenStore store;
    private final BackendDriver.Address address;
    private final BackendDriver.Instance instance;
    private final BackendBus bus;
    private final StorePath frontend;
    private final Mailbox mailbox = new Mailbox();
    private final CountDownLatch ended = new CountDownLatch(1);
    private final StoreWatch watch;

    // Owned by the device's thread.
    private Held held = Held.NOTHING;
    private long offeredAtNanos;
    private long closedAtNanos;
    private long nextLogNanos = System.nanoTime();

    /** Why the session cannot go on; set by any thread, cleared by the device's. */
    private volatile @Nullable String brokenBecause;

    BackendDevice(BackendBus bus, XenStore store, BackendDriver.Address address, BackendDriver.Instance instance)
            throws XenException {
        this.bus = bus;
        this.store = store;
        this.address = address;
        this.instance = instance;
        frontend = frontendOf(store, address);
        watch = store.watch(frontend.child(STATE), paths -> poke());
        Thread.ofVirtual().name(address.xenbusPath()).start(this::run);
    }

    /** Something may have changed. Any thread, never blocks. */
    void poke() {
        mailbox.poke();
    }

    /** Asks the device to let go of everything, and waits. Says nothing in the store. */
    void release() {
        mailbox.end();
        awaitEnd();
    }

    void awaitEnd() {
        boolean interrupted = false;
        while (true) {
            try {
                ended.await();
                break;
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void run() {
        boolean present = true;
        try {
            while (present && mailbox.await(waitTime())) {
                present = reconcile();
            }
        } catch (RuntimeException | Error e) {
            LOG.log(Level.ERROR, address.xenbusPath() + ": a fault of this program", e);
        } finally {
            letGo();
            watch.close();
            bus.forget(this, address, !present);
            ended.countDown();
        }
    }

    /** Works until nothing is left to do. Returns false once the device is gone. */
    private boolean reconcile() {
        for (int step = 0; step < STEPS_PER_POKE; step++) {
            try {
                Effect effect = BackendMachine.next(observe(), held);
                LOG.log(Level.DEBUG, "{0}: {1}", address.xenbusPath(), effect);
                if (effect == Effect.NOTHING) {
                    if (held.connected()) {
                        BackendDriver.Update update = instance.update();
                        if (!update.nodes().isEmpty()) {
                            write(update.nodes());
                        }
                        if (update.announce()) {
                            publish(Map.of(), XenbusState.CONNECTED);
                        }
                    }
                    removeLeaf();
                    return true;
                }
                if (effect == Effect.FORGET) {
                    return false;
                }
                perform(effect);
            } catch (XenException e) {
                // The store does not answer: what is connected goes on, and a watch fires when it is back.
                LOG.log(Level.WARNING, "{0}: {1}", address.xenbusPath(), e.getMessage());
                return true;
            }
        }
        poke();
        return true;
    }

    private Seen observe() throws XenException {
        if (brokenBecause != null && !held.broken()) {
            held = new Held(held.store(), held.connected(), true);
        }
        StorePath backend = address.backend();
        return store.transaction(access -> {
            Optional<String> own = access.read(backend.child(STATE));
            boolean online = access.read(backend.child("online")).orElse("0").equals("1");
            String hotplug = access.read(backend.child(HOTPLUG_STATUS)).orElse("");
            String peer = access.read(frontend.child(STATE)).orElse("");
            return new Seen(
                    own.isPresent(),
                    XenbusState.parse(own.orElse("")),
                    XenbusState.parse(peer),
                    online,
                    HotplugStatus.parse(hotplug) == HotplugStatus.CONNECTED || dwelled());
        });
    }

    private void perform(Effect effect) throws XenException {
        switch (effect) {
            case OFFER -> {
                offeredAtNanos = System.nanoTime();
                closedAtNanos = 0;
                if (held.store() == Store.FAILED) {
                    held = new Held(Store.CLOSED, held.connected(), held.broken());
                }
                publish(instance.offer(), XenbusState.INIT_WAIT);
            }
            case OPEN_STORE -> openStore();
            case CONNECT -> connect();
            case DISCONNECT -> {
                instance.disconnect();
                held = new Held(held.store(), false, held.broken());
            }
            case MEND -> {
                brokenBecause = null;
                held = new Held(held.store(), false, false);
            }
            case CLOSE_STORE -> {
                instance.close();
                held = new Held(Store.CLOSED, false, held.broken());
            }
            case SAY_CLOSING -> {
                String why = brokenBecause;
                if (why != null) {
                    report(why);
                }
                publish(Map.of(), XenbusState.CLOSING);
            }
            case SAY_CLOSED -> {
                publish(Map.of(), XenbusState.CLOSED);
                closedAtNanos = System.nanoTime();
            }
            case NOTHING, FORGET -> throw new IllegalStateException(effect + " is not performed");
        }
    }

    private void openStore() throws XenException {
        try {
            instance.open();
            held = new Held(Store.OPEN, held.connected(), held.broken());
            write(Map.of("store-status", "open"));
        } catch (XenException e) {
            held = new Held(Store.FAILED, held.connected(), held.broken());
            // The instance has told its user already, in the words of its kind of device.
            LOG.log(Level.INFO, address.xenbusPath() + ": its store cannot be opened", e);
            record(e.getMessage());
            // hotplug-error is what libxl shows to the user of xl; store-status is what our hotplug script waits for.
            write(Map.of("hotplug-error", String.valueOf(e.getMessage()), "store-status", "error"));
        }
    }

    private void connect() throws XenException {
        SequencedMap<String, String> nodes;
        try {
            nodes = instance.connect(frontend, new BackendDriver.Session() {
                @Override
                public void broken(String why) {
                    onBroken(why);
                }

                @Override
                public void changed() {
                    poke();
                }
            });
        } catch (XenException e) {
            onBroken(String.valueOf(e.getMessage()));
            return;
        }
        held = new Held(held.store(), true, held.broken());
        publish(nodes, XenbusState.CONNECTED);
        instance.published();
    }

    private void onBroken(String why) {
        brokenBecause = why;
        poke();
    }

    /** Writes nodes and a state in one transaction, unless the directory is gone: then it must not come back. */
    private void publish(Map<String, String> nodes, XenbusState state) throws XenException {
        store.transaction(access -> {
            if (access.exists(address.backend().child(STATE))) {
                writeAll(access, nodes);
                access.write(address.backend().child(STATE), state.text());
            }
            return true;
        });
    }

    private void write(Map<String, String> nodes) throws XenException {
        store.transaction(access -> {
            if (access.exists(address.backend().child(STATE))) {
                writeAll(access, nodes);
            }
            return true;
        });
    }

    private void writeAll(StoreAccess access, Map<String, String> nodes) throws xenback.xen.store.StoreException {
        for (Map.Entry<String, String> node : nodes.entrySet()) {
            access.write(address.backend().child(node.getKey()), node.getValue());
        }
    }

    /**
     * Says in the log and to the toolstack what went wrong. The log gets a line per second at most: a guest that connects
     * wrongly again and again must not fill it (the class of XSA-43).
     */
    private void report(String what) throws XenException {
        long now = System.nanoTime();
        if (now - nextLogNanos >= 0) {
            nextLogNanos = now + LOG_INTERVAL_NANOS;
            LOG.log(Level.ERROR, "{0}: {1}", address.xenbusPath(), what);
        }
        record(what);
    }

    /** Tells the toolstack what went wrong, where Linux' xenbus_dev_error does. */
    private void record(@Nullable String what) throws XenException {
        store.write(
                store.domainPath(bus.domid())
                        .child("error")
                        .child(address.xenbusPath())
                        .child("error"),
                String.valueOf(what));
    }

    /**
     * In a driver domain nobody else removes a device that is at 6: libxl in domain 0 waits for it (libxl_device.c), but must
     * have read the 6 before.
     */
    private void removeLeaf() throws XenException {
        if (bus.domid() == 0
                || closedAtNanos == 0
                || System.nanoTime() - closedAtNanos < bus.dwell().toNanos()) {
            return;
        }
        StorePath backend = address.backend();
        store.transaction(access -> {
            boolean offline = access.read(backend.child("online")).orElse("1").equals("0");
            boolean over = access.read(backend.child(STATE)).orElse("").equals(XenbusState.CLOSED.text());
            if (offline && over) {
                access.remove(backend);
            }
            return true;
        });
    }

    private void letGo() {
        if (held.connected()) {
            instance.disconnect();
        }
        if (held.store() == Store.OPEN) {
            instance.close();
        }
        held = Held.NOTHING;
    }

    private boolean dwelled() {
        return offeredAtNanos != 0
                && System.nanoTime() - offeredAtNanos >= bus.dwell().toNanos();
    }

    /** While the hotplug script is awaited, its absence must be noticed too. */
    private Duration waitTime() {
        boolean toConnect = offeredAtNanos != 0 && !held.connected() && !dwelled();
        boolean toRemove = bus.domid() != 0 && closedAtNanos != 0;
        return toConnect || toRemove || held.connected() ? bus.dwell() : Duration.ZERO;
    }

    private static StorePath frontendOf(XenStore store, BackendDriver.Address address) throws XenException {
        StorePath named = StorePath.of(store.require(address.backend().child("frontend")));
        StorePath home = store.domainPath(address.frontendDomid());
        // A toolstack's slip, or a stale node of a reused domid, must not make us read another guest's directory.
        if (!named.text().startsWith(home.text() + "/")) {
            throw new XenException(
                    xenback.xen.Errno.EINVAL,
                    address.xenbusPath() + ": its frontend " + named + " is not in domain " + address.frontendDomid());
        }
        return named;
    }
}
