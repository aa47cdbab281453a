package xenback.net.backend;

import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.bus.BackendDriver;
import xenback.xen.bus.LifeDevice;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantTable;
import xenback.xen.io.EventLoop;
import xenback.xen.io.LoopSource;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * An interface in the model of a device's life: the real driver and its sessions, with the embedded Xen's pages and event
 * channels, a guest that is honest on its rings, and a link that gives back what was sent. All queues share one loop, which is
 * at rest after each call of the driver, so that a sequence does the same each time.
 */
final class VifLife implements LifeDevice {
    private static final int GUEST_PAGES = 4096;
    private static final int MOST_QUEUES = 3;

    /** Turns of the loop in which a frame goes all the way: sweep, link, sweep, notification. */
    private static final int TURNS = 6;

    private final EmbeddedXen xen;
    private final EventLoop loop;
    private final Domain guest;
    private final EchoLink link = new EchoLink();
    private final List<LifeRings> left = new ArrayList<>();
    private Optional<LifeRings> rings = Optional.empty();
    private LifeRings.Shape shape = new LifeRings.Shape(1, false, false, true, true);
    private NetBackend.House house;

    // What a world before this one has left, where something was wrong.
    private final int grantsBefore;
    private final int portsBefore;

    VifLife(EmbeddedXen xen, EventLoop loop) throws XenException {
        this.xen = xen;
        this.loop = loop;
        guest = xen.createDomain(1, GUEST_PAGES);
        grantsBefore = xen.domain0().mappedGrants();
        portsBefore = xen.domain0().openPorts();
    }

    /** The port of domain 0 with the store of the model. */
    private record Port(Domain domain, XenStore store) implements Xen {
        @Override
        public int domid() {
            return 0;
        }

        @Override
        public EventChannels openEventChannels(int remoteDomid) throws XenException {
            return domain.openEventChannels(remoteDomid);
        }

        @Override
        public GrantTable openGrantTable() throws XenException {
            return domain.openGrantTable();
        }

        @Override
        public void close() {}
    }

    @Override
    public String kind() {
        return NetBackend.KIND;
    }

    @Override
    public int devid() {
        return 0;
    }

    @Override
    public Optional<BackendDriver> driver(XenStore store) {
        NetOptions usual = NetOptions.usual().withQueues(MOST_QUEUES);
        NetOptions options = usual.withTimeouts(usual.drainTimeout(), Duration.ZERO);
        LoopSource loops = (name, queue) -> new LoopSource.Lease(loop, true);
        house = new NetBackend.House(
                new Port(xen.domain0(), store),
                options,
                loops,
                (name, directory) -> link.opened(),
                event -> {},
                new ArrayList<>(),
                new ConcurrentHashMap<>());
        NetBackend.House own = house;
        return Optional.of(address -> new Resting(new Vif(own, address)));
    }

    /** The loop is at rest when a call returns. */
    private final class Resting implements BackendDriver.Instance {
        private final Vif vif;

        Resting(Vif vif) {
            this.vif = vif;
        }

        @Override
        public boolean opensBeforeOffer() {
            return vif.opensBeforeOffer();
        }

        @Override
        public SequencedMap<String, String> offer() {
            return vif.offer();
        }

        @Override
        public void open() throws XenException {
            vif.open();
        }

        @Override
        public SequencedMap<String, String> connect(StorePath frontend, BackendDriver.Session with)
                throws XenException {
            return vif.connect(frontend, with);
        }

        @Override
        public void published() {
            vif.published();
            rest();
        }

        @Override
        public boolean isOutdated(StorePath frontend) throws XenException {
            return vif.isOutdated(frontend);
        }

        @Override
        public BackendDriver.Update update() throws XenException {
            try {
                return vif.update();
            } finally {
                rest();
            }
        }

        @Override
        public void reconfigure() throws XenException {
            vif.reconfigure();
        }

        @Override
        public void disconnect() {
            vif.disconnect();
            rest();
        }

        @Override
        public void close() {
            vif.close();
        }
    }

    private void rest() {
        for (int i = 0; i < TURNS; i++) {
            CountDownLatch turned = new CountDownLatch(1);
            loop.execute(turned::countDown);
            try {
                turned.await();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        }
    }

    @Override
    public Map<String, String> attached() {
        Map<String, String> nodes = new LinkedHashMap<>();
        nodes.put("mac", "00:16:3e:00:00:01");
        nodes.put("handle", "0");
        return nodes;
    }

    @Override
    public SequencedMap<String, String> makeRings() {
        try {
            LifeRings made = new LifeRings(guest, shape);
            rings = Optional.of(made);
            return made.nodes();
        } catch (XenException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public List<String> keysOfSomeRings() {
        return LifeRings.KEYS_OF_SOME;
    }

    /** A disorderly guest's rings may be in use; they are left to whoever comes after it. */
    @Override
    public void endRings(boolean crashed) {
        rings.ifPresent(present -> {
            if (crashed || !present.end()) {
                left.add(present);
            }
        });
        rings = Optional.empty();
    }

    @Override
    public boolean mayWriteToFrontend(String key) {
        return key.equals("mtu");
    }

    @Override
    public void perform(Step step, Nodes nodes) {
        switch ((VifStep) step) {
            case VifStep.Toolstack(String key, String value) -> nodes.writeBackend(key, value);
            case VifStep.Guest(String key, String value) -> nodes.writeFrontend(key, value);
            case VifStep.NextRings(LifeRings.Shape next) -> shape = next;
            case VifStep.GuestUsesItsRings() -> {
                rings.ifPresent(LifeRings::use);
                rest();
            }
            case VifStep.LinkIsSwitched(boolean on) -> link.up = on;
            case VifStep.LinkHasMtu(int bytes) -> link.mtu = bytes;
        }
    }

    @Override
    public void calm(Nodes nodes) {
        nodes.writeBackend("mac", "00:16:3e:00:00:01");
        for (String key : List.of("mtu", "rate", "rate-to-guest")) {
            nodes.writeBackend(key, "");
        }
    }

    @Override
    public String faultOfSession(Nodes nodes) {
        NetPolicy policy = house.vifs().get("xnb1i0").policy();
        StringBuilder faults = new StringBuilder(String.join(", ", link.faults));
        compare(faults, "the carrier of the link", link.carrier, true);
        compare(faults, "carrier", nodes.backend("carrier").orElse(""), link.up ? "1" : "0");
        compare(faults, "mtu", nodes.frontend("mtu").orElse(""), Integer.toString(link.mtu));
        compareRate(faults, nodes.backend("rate").orElse(""), policy.fromGuest());
        compareRate(faults, nodes.backend("rate-to-guest").orElse(""), policy.toGuest());
        boolean groups = nodes.frontend("request-multicast-control").orElse("").equals("1");
        compare(faults, "groups", policy.groupsOnly(), groups);
        String headroom = nodes.frontend("xdp-headroom").orElse("");
        boolean obeyed = headroom.matches("[0-9]+") && Integer.parseInt(headroom) <= 2048;
        compare(faults, "headroom", policy.headroom(), obeyed ? Integer.parseInt(headroom) : 0);
        return faults.toString();
    }

    /** A rate that makes no sense leaves the one before. */
    private static void compareRate(StringBuilder faults, String text, RateLimit rate) {
        if (text.isEmpty() || RateLimit.parse(text).isPresent()) {
            compare(faults, "rate", rate.toString(), text.isEmpty() ? RateLimit.NONE.toString() : text);
        }
    }

    private static void compare(StringBuilder faults, String what, Object is, Object wanted) {
        if (!is.equals(wanted)) {
            faults.append(what)
                    .append(" is '")
                    .append(is)
                    .append("' and not '")
                    .append(wanted)
                    .append("'. ");
        }
    }

    @Override
    public String faultOfService() {
        return rings.map(present -> present.tryAll(this::rest)).orElse("the guest has no rings");
    }

    @Override
    public String leftOver() {
        StringBuilder faults = new StringBuilder(String.join(", ", link.faults));
        boolean ended = left.stream().allMatch(LifeRings::end);
        left.clear();
        compare(faults, "every grant ended", ended, true);
        compare(faults, "the link open", link.open, false);
        compare(faults, "mapped grants", xen.domain0().mappedGrants(), grantsBefore);
        compare(faults, "ports", xen.domain0().openPorts(), portsBefore);
        compare(faults, "grants in use", guest.pinnedGrants(), 0);
        compare(faults, "ports of the guest", guest.openPorts(), 0);
        compare(faults, "pages of the guest", guest.allocatedPages(), 0);
        compare(faults, "interfaces listed", house.rows().size() + house.vifs().size(), 0);
        return faults.toString();
    }

    @Override
    public void close() {
        for (Vif vif : List.copyOf(house.vifs().values())) {
            vif.disconnect();
            vif.close();
        }
        guest.close();
    }
}
