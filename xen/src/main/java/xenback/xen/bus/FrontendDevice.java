package xenback.xen.bus;

import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.bus.FrontendMachine.Effect;
import xenback.xen.bus.FrontendMachine.Held;
import xenback.xen.bus.FrontendMachine.Seen;
import xenback.xen.store.StoreAccess;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StoreWatch;
import xenback.xen.store.XenStore;

/**
 * One frontend of a guest of the embedded Xen: asks {@link FrontendMachine} what to do and does it, on a control thread of
 * its own.
 */
public final class FrontendDevice implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(FrontendDevice.class.getName());
    private static final int STEPS_PER_POKE = 16;
    private static final String STATE = "state";

    private final XenStore store;
    private final FrontendDriver.Address address;
    private final FrontendDriver.Instance instance;
    private final Control.Pace pace;
    private final Control control;
    private final CountDownLatch attached = new CountDownLatch(1);
    private final StoreWatch ownWatch;
    private final StoreWatch backendWatch;

    // Owned by the device's thread.
    private Held held = Held.NOTHING;
    private final Patience patience = new Patience();
    private final BoundedLog log;

    private FrontendDevice(
            XenStore store, FrontendDriver.Address address, FrontendDriver.Instance instance, Control.Pace pace)
            throws StoreException {
        this.store = store;
        this.address = address;
        this.instance = instance;
        this.pace = pace;
        log = new BoundedLog(LOG, address.frontend().text());
        control = new Control(address.frontend().text(), new Turns(), pace);
        ownWatch = store.watch(address.frontend().child(STATE), paths -> control.post(Mailbox.POKED));
        backendWatch = store.watch(address.backend().child(STATE), paths -> control.post(Mailbox.POKED));
        control.start();
    }

    /**
     * Starts the frontend of a device that the toolstack has written.
     *
     * @param store the store as the guest sees it
     * @param frontend the device's directory in the guest's home
     */
    public static FrontendDevice start(XenStore store, StorePath frontend, FrontendDriver driver) throws XenException {
        return start(store, frontend, driver, Control.LIVE);
    }

    static FrontendDevice start(XenStore store, StorePath frontend, FrontendDriver driver, Control.Pace pace)
            throws XenException {
        FrontendDriver.Address address = new FrontendDriver.Address(
                Integer.parseInt(frontend.key()),
                Integer.parseInt(store.require(frontend.child("backend-id"))),
                frontend,
                StorePath.of(store.require(frontend.child("backend"))));
        return new FrontendDevice(store, address, driver.probe(address), pace);
    }

    /** Waits until the device is in use. False if it did not come to that in time. */
    public boolean awaitAttached(Duration atMost) throws InterruptedException {
        return attached.await(atMost.toNanos(), TimeUnit.NANOSECONDS);
    }

    /** Waits until the device is gone: its directory removed, everything given back. */
    public boolean awaitEnd(Duration atMost) throws InterruptedException {
        return control.ended().await(atMost.toNanos(), TimeUnit.NANOSECONDS);
    }

    /** The guest crashes: everything is given back without a word in the store. */
    @Override
    public void close() {
        control.end();
        control.awaitEnd();
    }

    private final class Turns implements Control.Work {
        @Override
        public long turn(int news) {
            for (int step = 0; step < STEPS_PER_POKE; step++) {
                try {
                    Effect effect = FrontendMachine.next(observe(), held);
                    LOG.log(Level.DEBUG, "{0}: {1}", address.frontend(), effect);
                    if (effect == Effect.FORGET) {
                        return Control.OVER;
                    }
                    if (effect == Effect.NOTHING) {
                        if (held.attached()) {
                            instance.refresh();
                        }
                        patience.renew();
                        return Control.NO_ALARM;
                    }
                    perform(effect);
                } catch (XenException e) {
                    log.warn(e.getMessage(), pace.nanoTime());
                    return patience.nextNanos();
                }
            }
            control.post(Mailbox.POKED);
            return Control.NO_ALARM;
        }

        @Override
        public void end() {
            if (held.attached()) {
                instance.detach();
            }
            if (held.prepared()) {
                instance.release();
            }
            held = Held.NOTHING;
            ownWatch.close();
            backendWatch.close();
        }
    }

    private Seen observe() throws StoreException {
        return store.transaction(access -> {
            Optional<String> own = readIfThere(access, address.frontend().child(STATE));
            String backend = readIfThere(access, address.backend().child(STATE)).orElse("");
            return new Seen(own.isPresent(), XenbusState.parse(own.orElse("")), XenbusState.parse(backend));
        });
    }

    /** A node that is gone answers EACCES to a guest that may not read what is above it, for its absence is a secret. */
    private static Optional<String> readIfThere(StoreAccess access, StorePath path) throws StoreException {
        try {
            return access.read(path);
        } catch (StoreException e) {
            if (e.errno() == Errno.EACCES) {
                return Optional.empty();
            }
            throw e;
        }
    }

    private void perform(Effect effect) throws XenException {
        switch (effect) {
            case PREPARE -> {
                Map<String, String> nodes = instance.prepare();
                held = new Held(true, false);
                say(nodes, XenbusState.INITIALISED);
            }
            case ATTACH -> {
                if (!held.attached()) { // else its 4 could not be written
                    instance.attach();
                    held = new Held(true, true);
                }
                say(Map.of(), XenbusState.CONNECTED);
                attached.countDown();
            }
            case DETACH -> {
                instance.detach();
                held = new Held(true, false);
            }
            case RELEASE -> {
                instance.release();
                held = Held.NOTHING;
            }
            case SAY_CLOSING -> {
                if (held.attached()) {
                    instance.detach();
                    held = new Held(true, false);
                }
                say(Map.of(), XenbusState.CLOSING);
            }
            case SAY_CLOSED -> say(Map.of(), XenbusState.CLOSED);
            case NOTHING, FORGET -> throw new IllegalStateException(effect + " is not performed");
        }
    }

    private void say(Map<String, String> nodes, XenbusState state) throws StoreException {
        store.transaction(access -> {
            if (access.exists(address.frontend().child(STATE))) {
                for (Map.Entry<String, String> node : nodes.entrySet()) {
                    access.write(address.frontend().child(node.getKey()), node.getValue());
                }
                access.write(address.frontend().child(STATE), state.text());
            }
            return true;
        });
    }
}
