package xenback.xen.bus;

import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import org.jspecify.annotations.Nullable;
import xenback.xen.XenException;
import xenback.xen.bus.BackendMachine.Effect;
import xenback.xen.bus.BackendMachine.Held;
import xenback.xen.bus.BackendMachine.Seen;
import xenback.xen.bus.BackendMachine.Store;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StoreWatch;
import xenback.xen.store.XenStore;

/**
 * One device of a backend: asks {@link BackendMachine} what to do and does it, on a control thread of its own, so that a
 * store that hangs or a guest that drains slowly holds up nobody else.
 */
final class BackendDevice implements Control.Work {
    private static final System.Logger LOG = System.getLogger(BackendDevice.class.getName());

    /** More steps than any way through the machine has; a guest that changes its mind faster waits for the next poke. */
    private static final int STEPS_PER_POKE = 16;

    /**
     * How long state 2 is held where no hotplug script speaks, so that libxl has certainly seen it, and 6 before removal; and
     * how long a frontend has to follow its new nodes with its new state.
     */
    private static final long DWELL_NANOS = Duration.ofSeconds(1).toNanos();

    /** How often the driver is asked for new values. */
    private static final long UPDATE_NANOS = Duration.ofSeconds(1).toNanos();

    private final BackendBus bus;
    private final BackendDriver.Address address;
    private final XenStore store;
    private final BackendDirectory directory;
    private final Control.Pace pace;
    private final Control control;

    // Owned by the control thread.
    private BackendDirectory.Look lastLook = BackendDirectory.Look.NONE;
    private @Nullable Begun begun;
    private Held held = Held.NOTHING;
    private @Nullable Ties session;
    private @Nullable String brokenBecause; // why held is broken
    private Map<String, String> openedBy = Map.of(); // what the store was opened by, until 2 is written
    private String refusal = ""; // why the device is not served, as it was said
    private boolean published; // the session knows that state 4 is written

    /** The 6 in the directory is ours, or may be that of a process before this. */
    private boolean saidClosed = true;

    private boolean gone;

    /** Since when this directory is known to have been at 2. */
    private final Span atInitWait = new Span();

    private final Span atClosed = new Span();

    /** Since when the frontend's nodes have named other rings than the session's. */
    private final Span outdated = new Span();

    private final Alarm lookAlarm = new Alarm();
    private final Alarm updateAlarm = new Alarm();
    private final Patience patience = new Patience();
    private final BoundedLog log;

    /** Nodes that the toolstack waits for, until they could be written. */
    private final SequencedMap<String, String> owed = new LinkedHashMap<>();

    /** What the driver has said and the frontend has not been told. */
    private final SequencedMap<String, String> unpublished = new LinkedHashMap<>();

    private boolean unannounced;

    /** There may be an error node; at first perhaps one of a process before this. */
    private boolean errorRecorded = true;

    private boolean errorIsOver;

    /** What a device has once its directory was read. */
    private record Begun(StorePath frontend, StoreWatch watch, BackendDriver.Instance instance) {}

    BackendDevice(BackendBus bus, XenStore store, BackendDriver.Address address) {
        this.bus = bus;
        this.store = store;
        this.address = address;
        pace = bus.pace();
        log = new BoundedLog(LOG, address.xenbusPath());
        directory = new BackendDirectory(store, address, bus.domid());
        control = new Control(address.xenbusPath(), this, pace);
    }

    BackendDriver.Address address() {
        return address;
    }

    /** For tests that take its turns. */
    Held held() {
        return held;
    }

    Control control() {
        return control;
    }

    /** Something may have changed. Any thread, never blocks. */
    void poke() {
        control.post(Mailbox.POKED);
    }

    @Override
    public long turn(int news) {
        boolean due = lookAlarm.isDue(pace.nanoTime());
        if (due) {
            lookAlarm.clear();
        }
        if (due || (news & Mailbox.POKED) != 0) {
            reconcile();
        }
        if (gone) {
            return Control.OVER;
        }
        update((news & Mailbox.CHANGED) != 0);
        long now = pace.nanoTime();
        return Math.min(lookAlarm.left(now), updateAlarm.left(now));
    }

    @Override
    public void end() {
        try {
            if (held.connected()) {
                disconnect();
            }
            if (held.store() == Store.OPEN) {
                closeStore();
            }
        } finally {
            Begun ending = begun;
            if (ending != null) {
                ending.watch().close();
            }
            bus.forget(this, gone);
        }
    }

    /** Works until nothing is left to do. */
    private void reconcile() {
        for (int step = 0; step < STEPS_PER_POKE; step++) {
            try {
                settle();
                Seen seen = observe();
                Effect effect = BackendMachine.next(seen, held);
                LOG.log(Level.DEBUG, "{0}: {1}", address.xenbusPath(), effect);
                if (effect == Effect.FORGET) {
                    clearError();
                    gone = true;
                    return;
                }
                if (effect == Effect.NOTHING) {
                    rest(seen);
                    patience.renew();
                    return;
                }
                perform(effect, seen);
            } catch (XenException e) {
                // The store refuses, or does not answer: what is connected goes on, and we look again in a while.
                log.warn(e.getMessage(), pace.nanoTime());
                lookAlarm.within(patience.nextNanos(), pace.nanoTime());
                return;
            }
        }
        poke();
    }

    private Begun begun() {
        Begun known = begun;
        if (known == null) {
            throw new IllegalStateException(address.xenbusPath() + ": not begun");
        }
        return known;
    }

    private BackendDriver.Instance instance() {
        return begun().instance();
    }

    private void settle() throws StoreException {
        if (!owed.isEmpty()) {
            directory.tell(owed);
            owed.clear();
        }
        if (errorIsOver) {
            clearError();
        }
    }

    /** What went wrong is not so any more, or not of interest. */
    private void clearError() throws StoreException {
        if (errorRecorded) {
            directory.clearError();
            errorRecorded = false;
        }
        errorIsOver = false;
    }

    private Seen observe() throws XenException {
        Ties running = session;
        String why = running == null ? null : running.brokenBecause;
        if (why != null && !held.broken()) {
            broken(why);
        }
        BackendDirectory.Look look = directory.look();
        if (look.own() != XenbusState.CLOSED) {
            saidClosed = false;
        } else if (look.online() && !saidClosed) {
            // So libxl ends a device of QEMU's, the kind qdisk, whose guest does not run, and leaves online as it was
            // (libxl_device.c, device_qemu_timeout). Written there, a process after this one knows it too.
            directory.sayOffline();
            look = directory.look();
        }
        lastLook = look;
        boolean refused = look.present() && !begin(look);
        Begun ready = begun;
        long now = pace.nanoTime();
        note(look, now);
        Seen seen = new Seen(
                look.present() && (ready != null || refused),
                look.own(),
                ready == null || refused
                        ? XenbusState.UNKNOWN
                        : directory.peer(ready.frontend(), ready.instance().saidByFrontend()),
                look.online() && !refused,
                isHotplugOver(look.hotplug(), now));
        held = held.noting(seen);
        if (ready != null && held.connected() && seen.own() == XenbusState.CONNECTED) {
            sayPublished();
            held = held.withOutdated(isOutdated(seen, ready, now));
        } else {
            outdated.end();
        }
        return seen;
    }

    /** Learns where the frontend is, and watches it. False if what the directory names cannot be it. */
    private boolean begin(BackendDirectory.Look look) throws StoreException {
        if (look.frontend().isEmpty() || look.frontendDomid().isEmpty()) {
            return true; // somebody is writing the directory by hand; there is no device yet
        }
        Optional<StorePath> frontend = directory.frontend(look);
        if (frontend.isEmpty()) {
            refuse(address.xenbusPath() + ": frontend and frontend-id do not name a device of domain "
                    + address.frontendDomid());
            return false;
        }
        refusal = "";
        Begun known = begun;
        if (known == null || !known.frontend().equals(frontend.get())) {
            StoreWatch watch = store.watch(frontend.get().child("state"), paths -> poke());
            BackendDriver.Instance instance = known == null ? bus.driver().attach(address) : known.instance();
            begun = new Begun(frontend.get(), watch, instance);
            if (known != null) {
                known.watch().close();
            }
        }
        return true;
    }

    /** Says once why this device is not served; for the machine it is one that the toolstack does not want any more. */
    private void refuse(String why) throws StoreException {
        if (!refusal.equals(why)) {
            refusal = why;
            report(why);
            owed.put("hotplug-error", why);
            owed.put("store-status", "error");
            settle();
        }
    }

    private void note(BackendDirectory.Look look, long now) {
        switch (look.own()) {
            case UNKNOWN, INITIALISING -> atInitWait.end(); // the toolstack has written it anew
            case INIT_WAIT -> atInitWait.begin(now);
            default -> {}
        }
        if (look.own() == XenbusState.CLOSED) {
            atClosed.begin(now);
        } else {
            atClosed.end();
        }
    }

    private boolean isHotplugOver(HotplugStatus hotplug, long now) {
        return switch (hotplug) {
            case CONNECTED -> true;
            case FAILED -> false; // for the script's reason, such as a store that another guest uses
            case NONE -> atInitWait.hasLasted(DWELL_NANOS, now);
        };
    }

    /**
     * New rings are believed at once of a frontend at 3, which says it last. At 4 it may be about to say 3, and to connect
     * twice to one ring would repeat its requests: only what has been so for a while has had its 3, unseen.
     */
    private boolean isOutdated(Seen seen, Begun ready, long now) throws StoreException {
        boolean ringsNamed = seen.frontend() == XenbusState.INITIALISED || seen.frontend() == XenbusState.CONNECTED;
        if (!ringsNamed || !asksForNewRings(ready)) {
            outdated.end();
            return false;
        }
        outdated.begin(now);
        return seen.frontend() == XenbusState.INITIALISED || outdated.hasLasted(DWELL_NANOS, now);
    }

    private static boolean asksForNewRings(Begun ready) throws StoreException {
        try {
            return ready.instance().isOutdated(ready.frontend());
        } catch (XenException e) {
            throwIfStoreFailed(e);
            return false;
        }
    }

    /** Nothing is left to do now; some things have their time. */
    private void rest(Seen seen) throws StoreException {
        long now = pace.nanoTime();
        if (seen.own() == XenbusState.INIT_WAIT && !atInitWait.hasLasted(DWELL_NANOS, now)) {
            lookAlarm.within(atInitWait.left(DWELL_NANOS, now), now);
        }
        if (held.connected() && outdated.isBegun()) {
            lookAlarm.within(outdated.left(DWELL_NANOS, now), now);
        }
        // In a driver domain nobody else removes a device that is at 6: libxl in domain 0 waits for it, but must
        // have read the 6 before (libxl_device.c).
        if (bus.domid() != 0 && seen.own() == XenbusState.CLOSED && !seen.online()) {
            if (atClosed.hasLasted(DWELL_NANOS, now)) {
                directory.removeIfOver();
            } else {
                lookAlarm.within(atClosed.left(DWELL_NANOS, now), now);
            }
        }
    }

    private void perform(Effect effect, Seen seen) throws XenException {
        switch (effect) {
            case OFFER -> offer();
            case OPEN_STORE -> openStore();
            case CONNECT -> connect();
            case DISCONNECT -> {
                if (seen.frontend() == XenbusState.CLOSED && !held.broken()) {
                    instance().serveOut();
                }
                disconnect();
            }
            case RECONFIGURE -> {
                instance().reconfigure();
                say(Map.of(), XenbusState.RECONFIGURED);
            }
            case SAY_CONNECTED -> say(Map.of(), XenbusState.CONNECTED);
            case MEND -> {
                brokenBecause = null;
                held = held.withBroken(false);
            }
            case CLOSE_STORE -> closeStore();
            case SAY_CLOSING -> {
                String why = brokenBecause;
                if (why != null) {
                    report(why);
                }
                say(Map.of(), XenbusState.CLOSING);
            }
            case SAY_CLOSED -> {
                saidClosed = true; // it is if the answer is lost
                saidClosed = say(Map.of(), XenbusState.CLOSED);
            }
            case NOTHING, FORGET -> throw new IllegalStateException(effect + " is not performed");
        }
    }

    /**
     * A store that is opened first may be that of a device which the toolstack replaces meanwhile, by another that looks the
     * same as far as the machine looks: what it was opened by must be there still when 2 is written.
     */
    private void offer() throws XenException {
        if (held.store() == Store.FAILED) {
            held = held.with(Store.CLOSED);
        }
        if (instance().opensBeforeOffer() && held.store() == Store.CLOSED) {
            openedBy = directory.written();
            openStore();
        }
        if (directory.publish(lastLook, openedBy, instance().offer(), XenbusState.INIT_WAIT)) {
            openedBy = Map.of();
        } else if (!openedBy.isEmpty() && held.store() == Store.OPEN) {
            closeStore();
        }
    }

    private boolean say(Map<String, String> nodes, XenbusState state) throws StoreException {
        return directory.publish(lastLook, Map.of(), nodes, state);
    }

    private void openStore() throws XenException {
        try {
            instance().open();
            held = held.with(Store.OPEN);
            updateAlarm.within(UPDATE_NANOS, pace.nanoTime());
            owed.put("store-status", "open");
            errorIsOver = true;
        } catch (XenException e) {
            throwIfStoreFailed(e);
            held = held.with(Store.FAILED);
            // The instance has told its user already, in the words of its kind of device.
            LOG.log(Level.INFO, address.xenbusPath() + ": its store cannot be opened", e);
            record(String.valueOf(e.getMessage()));
            // hotplug-error is what libxl shows to the user of xl; store-status is what our hotplug script waits for.
            owed.put("hotplug-error", BoundedLog.bounded(String.valueOf(e.getMessage())));
            owed.put("store-status", "error");
        }
        settle();
    }

    private void closeStore() {
        held = held.with(Store.CLOSED);
        updateAlarm.clear();
        instance().close();
    }

    private void connect() throws XenException {
        Begun ready = begun();
        if (!directory.isOurs(ready.frontend())) {
            broken(address.xenbusPath() + ": its frontend names another backend");
            return;
        }
        SequencedMap<String, String> nodes;
        Ties fresh = new Ties(control);
        try {
            nodes = ready.instance().connect(ready.frontend(), fresh);
        } catch (XenException e) {
            throwIfStoreFailed(e);
            broken(String.valueOf(e.getMessage()));
            return;
        }
        session = fresh;
        held = held.withConnected(true);
        if (say(nodes, XenbusState.CONNECTED)) {
            sayPublished();
        }
    }

    /** Once per session. If it is not known whether 4 was written, because the answer was lost, the next look shows it. */
    private void sayPublished() {
        if (!published) {
            published = true;
            errorIsOver = true;
            instance().published();
        }
    }

    private void disconnect() {
        held = held.withConnected(false);
        session = null;
        published = false;
        outdated.end();
        forgetUpdate();
        instance().disconnect();
    }

    private void broken(String why) {
        brokenBecause = why;
        held = held.withBroken(true);
    }

    /** Asks the driver for new values, if it has some or its time has come, and publishes what is not published. */
    private void update(boolean asked) {
        if (held.store() != Store.OPEN) {
            return;
        }
        try {
            if (asked || updateAlarm.isDue(pace.nanoTime())) {
                updateAlarm.clear();
                updateAlarm.within(UPDATE_NANOS, pace.nanoTime());
                BackendDriver.Update news = instance().update();
                if (held.connected()) {
                    unpublished.putAll(news.nodes());
                    unannounced |= news.announce();
                }
            }
            if (published && (!unpublished.isEmpty() || unannounced)) {
                directory.update(unpublished, unannounced);
                forgetUpdate();
            }
        } catch (XenException e) {
            log.warn(e.getMessage(), pace.nanoTime()); // with the next alarm again
        }
    }

    private void forgetUpdate() {
        unpublished.clear();
        unannounced = false;
    }

    /** Says in the log and to the toolstack what went wrong. */
    private void report(String what) {
        log.error(what, pace.nanoTime());
        record(what);
    }

    /** Tells the toolstack what went wrong. Where there is no room for it (a quota), the device goes its way without. */
    private void record(String what) {
        errorIsOver = false;
        errorRecorded = true;
        try {
            directory.recordError(what);
        } catch (StoreException e) {
            LOG.log(Level.DEBUG, "{0}: {1}", address.xenbusPath(), e.getMessage());
        }
    }

    /** A store that does not answer now is no fault of a guest or of a disk: it is asked again. */
    private static void throwIfStoreFailed(XenException e) throws StoreException {
        if (e instanceof StoreException refused) {
            switch (refused.errno()) {
                case EIO, EAGAIN, EBUSY, ENOMEM, ENOSPC, EINTR -> throw refused;
                default -> {}
            }
        }
    }

    /** One session's way to its device. */
    private static final class Ties implements BackendDriver.Session {
        private final Control control;
        private volatile @Nullable String brokenBecause;

        Ties(Control control) {
            this.control = control;
        }

        @Override
        public void broken(String why) {
            if (brokenBecause == null) {
                brokenBecause = why;
            }
            control.post(Mailbox.POKED);
        }

        @Override
        public void changed() {
            control.post(Mailbox.CHANGED);
        }
    }
}
