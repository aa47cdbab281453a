package xenback.xen.bus;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * A driver that does what a test says, notes what it is told, and objects to calls that come out of order: a store is opened
 * before a session, sessions come one at a time, and everything is given back once.
 */
final class ScriptedDriver implements BackendDriver {
    final List<String> faults = new ArrayList<>();

    /** The calls of all instances, since the test last cleared them. */
    final List<String> calls = new ArrayList<>();

    /** Instances that the bus has attached, the last one last. */
    final List<Instance> instances = new CopyOnWriteArrayList<>();

    private final List<Session> ties = new ArrayList<>();
    private final Optional<BackendDriver> inner;

    /** Told of the ring that a session begins to serve. */
    Consumer<String> onPublished = ring -> {};

    // What the world behind the devices is like.
    boolean storeTaken;
    boolean connects = true;
    long sectors = 8;

    /** The connection of the process that this driver is in. */
    XenStore store;

    ScriptedDriver(XenStore store) {
        this(store, Optional.empty());
    }

    /** @param inner the driver that does the work, behind what is objected to here */
    ScriptedDriver(XenStore store, Optional<BackendDriver> inner) {
        this.store = store;
        this.inner = inner;
    }

    /** Whether nobody is behind it. */
    boolean isScripted() {
        return inner.isEmpty();
    }

    @Override
    public Instance attach(Address address) {
        calls.add("attach");
        Instance instance = new Instance(address, inner.map(driver -> driver.attach(address)));
        instances.add(instance);
        return instance;
    }

    Instance last() {
        return instances.getLast();
    }

    boolean holdsNothing() {
        return instances.stream().noneMatch(each -> each.opened || each.connected);
    }

    boolean isConnected() {
        return instances.stream().anyMatch(each -> each.connected);
    }

    boolean isConnectedTo(int ring) {
        return instances.stream().anyMatch(each -> each.connected && each.ring.equals(Integer.toString(ring)));
    }

    /** Of all sessions, those that are over too. */
    List<Session> ties() {
        return List.copyOf(ties);
    }

    private void check(boolean good, String fault) {
        if (!good) {
            faults.add(fault + " after " + calls);
        }
    }

    /** One device: a store of so many sectors, and the number of the ring that the session is connected to. */
    final class Instance implements BackendDriver.Instance {
        final Address address;
        volatile boolean opened;
        volatile boolean connected;
        boolean published;
        String params = "";
        String ring = "";
        Session ties;

        /** What {@link #update} returns next; otherwise a new size. */
        Update next = Update.NONE;

        private final Optional<BackendDriver.Instance> inner;
        private long toldSectors;

        Instance(Address address, Optional<BackendDriver.Instance> inner) {
            this.address = address;
            this.inner = inner;
        }

        /** Its process has died: what the kernel takes back of the inner one's is taken back. */
        void die() {
            if (connected) {
                inner.ifPresent(BackendDriver.Instance::disconnect);
            }
            if (opened) {
                inner.ifPresent(BackendDriver.Instance::close);
            }
        }

        @Override
        public boolean opensBeforeOffer() {
            return inner.map(BackendDriver.Instance::opensBeforeOffer).orElse(false);
        }

        @Override
        public SequencedMap<String, String> offer() {
            calls.add("offer");
            check(!connected, "offers with a session");
            if (inner.isPresent()) {
                return inner.get().offer();
            }
            SequencedMap<String, String> nodes = new LinkedHashMap<>();
            nodes.put("max-ring-page-order", "4");
            return nodes;
        }

        @Override
        public void open() throws XenException {
            calls.add("open");
            check(!opened && !connected, "opens what is open");
            params = store.read(address.backend().child("params")).orElse("");
            if (storeTaken) {
                throw new XenException(Errno.EBUSY, "the store is in use");
            }
            if (inner.isPresent()) {
                inner.get().open();
            }
            opened = true;
        }

        @Override
        public SequencedMap<String, String> connect(StorePath frontend, Session with) throws XenException {
            calls.add("connect");
            check(opened, "connects with a closed store");
            check(!connected, "connects twice");
            ring = store.read(frontend.child("ring-ref")).orElse("");
            if (!connects || ring.isEmpty()) {
                throw new XenException(Errno.EINVAL, "ring-ref is no grant");
            }
            SequencedMap<String, String> nodes = new LinkedHashMap<>();
            if (inner.isPresent()) {
                nodes = inner.get().connect(frontend, with);
            } else {
                nodes.put("sectors", Long.toString(sectors));
            }
            connected = true;
            ties = with;
            ScriptedDriver.this.ties.add(with);
            toldSectors = sectors;
            return nodes;
        }

        @Override
        public void published() {
            calls.add("published");
            check(connected && !published, "published without a session, or twice");
            published = true;
            inner.ifPresent(BackendDriver.Instance::published);
            onPublished.accept(ring);
        }

        @Override
        public boolean isOutdated(StorePath frontend) throws XenException {
            check(connected, "asks for other rings than none");
            String named = store.read(frontend.child("ring-ref")).orElse("");
            if (named.isEmpty()) {
                throw new XenException(Errno.EINVAL, "ring-ref is missing");
            }
            return inner.isPresent() ? inner.get().isOutdated(frontend) : !named.equals(ring);
        }

        @Override
        public void reconfigure() throws XenException {
            check(connected, "reconfigures without a session");
            if (inner.isPresent()) {
                inner.get().reconfigure();
            }
        }

        @Override
        public Update update() throws XenException {
            calls.add("update");
            check(opened, "asks a closed store for news");
            if (inner.isPresent()) {
                return inner.get().update();
            }
            Update said = next;
            next = Update.NONE;
            if (connected && sectors != toldSectors) {
                toldSectors = sectors;
                SequencedMap<String, String> nodes = new LinkedHashMap<>(said.nodes());
                nodes.put("sectors", Long.toString(sectors));
                return new Update(nodes, true);
            }
            return said;
        }

        @Override
        public void serveOut() {
            check(connected, "serves out without a session");
            inner.ifPresent(BackendDriver.Instance::serveOut);
        }

        @Override
        public void disconnect() {
            calls.add("disconnect");
            check(connected, "disconnects without a session");
            inner.ifPresent(BackendDriver.Instance::disconnect);
            connected = false;
            published = false;
        }

        @Override
        public void close() {
            calls.add("close");
            check(opened, "closes a closed store");
            check(!connected, "closes the store under a session");
            inner.ifPresent(BackendDriver.Instance::close);
            opened = false;
        }
    }
}
