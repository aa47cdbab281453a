package xenback.net.backend;

import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import xenback.net.link.FinishedLink;
import xenback.net.link.Link;
import xenback.net.packet.Mac;
import xenback.net.packet.SourceFilter;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.bus.BackendDriver;
import xenback.xen.bus.GuestNodes;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StoreWatch;
import xenback.xen.store.XenStore;

/** One interface. On its control thread, but for what is told by queues and watches. */
final class Vif implements BackendDriver.Instance {
    private static final System.Logger LOG = System.getLogger(Vif.class.getName());

    /** What Ethernet has, and what a frontend without scatter-gather is kept to. */
    private static final int USUAL_MTU = 1500;

    private static final int LEAST_MTU = 68; // RFC 791
    private static final int MOST_MTU = 65521; // a frame of 65535 bytes

    private final NetBackend.House house;
    private final BackendDriver.Address address;
    private final String name;
    private final NetCounters counters = new NetCounters();
    private @Nullable Link link;
    private volatile @Nullable NetSession session; // others look at its rings
    private volatile NetPolicy policy = new NetPolicy(); // others look at what it says
    private RateLimit fromGuest = RateLimit.NONE;
    private RateLimit toGuest = RateLimit.NONE;
    private long station;

    // Of a session.
    private @Nullable StorePath frontend;
    private final List<StoreWatch> watches = new ArrayList<>();
    private final AtomicBoolean wishesChanged = new AtomicBoolean();
    private final AtomicBoolean ratesChanged = new AtomicBoolean();
    private boolean carrier;
    private boolean linkUp;
    private int mtu;

    Vif(NetBackend.House house, BackendDriver.Address address) {
        this.house = house;
        this.address = address;
        name = NetBackend.interfaceName(address.frontendDomid(), address.devid());
    }

    /** What a frontend must know before it makes its rings. */
    @Override
    public SequencedMap<String, String> offer() {
        NetOptions options = house.options();
        SequencedMap<String, String> nodes = new LinkedHashMap<>();
        nodes.put("feature-rx-copy", "1");
        nodes.put("feature-rx-flip", "0"); // FreeBSD's netfront takes a missing one for a 1
        for (NetFeature feature : NetFeature.values()) {
            nodes.put(feature.node(), feature.value(options.offers(feature)));
        }
        nodes.put("multi-queue-max-queues", Integer.toString(options.maxQueues()));
        return nodes;
    }

    /** A script puts the link on a bridge. */
    @Override
    public boolean opensBeforeOffer() {
        return true;
    }

    @Override
    public void open() throws XenException {
        try {
            station = station();
            sources(); // refused at once
            offload();
            readRates(true);
            Optional<Integer> wanted = wantedMtu();
            Link opened = house.links().open(name, address.backend());
            link = opened;
            if (wanted.isPresent()) {
                opened.setMtu(wanted.get());
            }
            house.vifs().put(name, this);
            house.rows().add(new NetBackend.Row(name, address.frontendDomid(), address.devid(), opened, counters));
            house.listener().on(new NetEvent.Attached(name, opened.name(), address.frontendDomid()));
        } catch (XenException e) {
            Link half = link;
            link = null;
            if (half != null) {
                half.close();
            }
            house.listener()
                    .on(new NetEvent.CannotOpen(
                            name, address.xenbusPath(), e.errno().number(), String.valueOf(e.getMessage())));
            throw e;
        }
    }

    private Optional<String> node(String key) throws StoreException {
        return store().read(address.backend().child(key)).filter(text -> !text.isEmpty());
    }

    private XenException refused(String what, String text, String remedy) {
        return new XenException(
                Errno.EINVAL, address.xenbusPath() + ": " + what + " " + GuestNodes.printable(text) + ": " + remedy);
    }

    /** The guest's address; 0 if the toolstack names none. */
    private long station() throws XenException {
        Optional<String> text = node("mac");
        Optional<Mac> mac = text.flatMap(Mac::parse).filter(Mac::isStation);
        if (text.isPresent() && mac.isEmpty()) {
            throw refused("mac", text.get(), "six octets are wanted, neither a group's nor all zero");
        }
        return mac.map(Mac::value).orElse(0L);
    }

    /** {@code antispoof} is ours; {@code mac} and {@code ip} are libxl's. A script may write it before the frontend connects. */
    private SourceFilter sources() throws XenException {
        if (!flag("antispoof", house.options().antispoof())) {
            return SourceFilter.NONE;
        }
        if (station == 0) {
            throw new XenException(Errno.EINVAL, address.xenbusPath() + ": antispoof needs the node mac");
        }
        String addresses = node("ip").orElse("").strip();
        List<String> words = addresses.isEmpty() ? List.of() : List.of(addresses.split("\\s+", -1));
        return SourceFilter.of(new Mac(station), words)
                .orElseThrow(() -> refused("ip", addresses, "antispoof wants addresses with blanks between them"));
    }

    /** {@code offload} is ours: without it frames from and to the link are finished ones. */
    private boolean offload() throws XenException {
        return flag("offload", true);
    }

    private boolean flag(String key, boolean usual) throws XenException {
        String text = node(key).orElse(usual ? "1" : "0");
        if (!text.equals("0") && !text.equals("1")) {
            throw refused(key, text, "0 or 1 is wanted");
        }
        return text.equals("1");
    }

    private Optional<Integer> wantedMtu() throws XenException {
        Optional<String> text = node("mtu");
        if (text.isEmpty()) {
            return Optional.empty();
        }
        int wanted = text.get().matches("[0-9]{1,5}") ? Integer.parseInt(text.get()) : 0;
        if (wanted < LEAST_MTU || wanted > MOST_MTU) {
            throw refused("mtu", text.get(), LEAST_MTU + " to " + MOST_MTU + " are possible");
        }
        return Optional.of(wanted);
    }

    /** {@code rate} is libxl's, for what the guest sends; {@code rate-to-guest} is ours, in the same form. */
    private void readRates(boolean strict) throws XenException {
        fromGuest = rate("rate", fromGuest, strict);
        toGuest = rate("rate-to-guest", toGuest, strict);
        policy.limit(fromGuest, toGuest);
    }

    private RateLimit rate(String key, RateLimit before, boolean strict) throws XenException {
        String text = node(key).orElse("");
        if (text.isEmpty()) {
            return RateLimit.NONE;
        }
        if (text.equals(before.toString())) {
            return before; // with its credit
        }
        Optional<RateLimit> limit = RateLimit.parse(text);
        if (limit.isPresent()) {
            return limit.get();
        }
        XenException refused = refused(key, text, "bytes,microseconds are wanted");
        if (strict) {
            throw refused;
        }
        LOG.log(Level.WARNING, "{0}; it stays {1}", refused.getMessage(), before);
        return before;
    }

    @Override
    public SequencedMap<String, String> connect(StorePath frontendPath, BackendDriver.Session ties)
            throws XenException {
        Link open = openLink();
        NetifParameters parameters = NetifParameters.read(store(), frontendPath, house.options());
        policy = new NetPolicy();
        policy.limit(fromGuest, toGuest);
        policy.setOnlyStation(house.options().unicastFilter() ? station : 0);
        policy.setSources(sources());
        frontend = frontendPath;
        takeWishes(frontendPath, true);
        carrier = false;
        if (!parameters.receives().scatterGather() && mtuOf(open) > USUAL_MTU) {
            open.setMtu(USUAL_MTU);
        }
        session = NetSession.open(
                new NetSession.Setting(
                        name,
                        house.xen(),
                        address.frontendDomid(),
                        offload() ? open : new FinishedLink(open),
                        house.loops(),
                        counters,
                        house.options(),
                        policy,
                        new Ties(ties)),
                parameters);
        try {
            watch(frontendPath, ties);
        } catch (StoreException e) {
            endSession(); // it is not connected, so nobody else would
            throw e;
        }
        linkUp = isUp(open);
        SequencedMap<String, String> nodes = new LinkedHashMap<>();
        nodes.put("carrier", linkUp ? "1" : "0");
        mtu = 0;
        tellMtu(open);
        return nodes;
    }

    private void watch(StorePath frontendPath, BackendDriver.Session ties) throws StoreException {
        for (String key : NetifParameters.WISHES) {
            watches.add(store().watch(frontendPath.child(key), paths -> {
                wishesChanged.set(true);
                ties.changed();
            }));
        }
        for (String key : List.of("rate", "rate-to-guest")) {
            watches.add(store().watch(address.backend().child(key), paths -> {
                ratesChanged.set(true);
                ties.changed();
            }));
        }
    }

    /** A frontend that is not offered to change its mind about groups has said all when it connects. */
    private void takeWishes(StorePath frontendPath, boolean first) throws XenException {
        NetifParameters.Wishes wishes = NetifParameters.wishes(store(), frontendPath, house.options());
        if (first || house.options().offers(NetFeature.DYNAMIC_MULTICAST_CONTROL)) {
            policy.setGroupsOnly(wishes.groupsOnly());
        }
        policy.setHeadroom(wishes.headroom());
    }

    @Override
    public void reconfigure() throws XenException {
        StorePath front = frontend;
        if (front != null) {
            takeWishes(front, false);
        }
    }

    @Override
    public String saidByFrontend() {
        return NetifParameters.RX_COPY;
    }

    @Override
    public boolean isOutdated(StorePath frontendPath) throws XenException {
        NetSession running = session;
        return running != null
                && !NetifParameters.read(store(), frontendPath, house.options()).equals(running.parameters());
    }

    /** Looks what has changed on either side, and tells the other. */
    @Override
    public BackendDriver.Update update() throws XenException {
        NetSession running = session;
        Link open = link;
        StorePath front = frontend;
        if (running == null || open == null || front == null) {
            return BackendDriver.Update.NONE;
        }
        running.keepHouse();
        showCarrier();
        obey(wishesChanged, () -> takeWishes(front, false));
        obey(ratesChanged, () -> readRates(false));
        boolean newMtu = tellMtu(open);
        boolean up = isUp(open);
        if (up == linkUp && !newMtu) {
            return BackendDriver.Update.NONE;
        }
        linkUp = up;
        SequencedMap<String, String> nodes = new LinkedHashMap<>();
        nodes.put("carrier", up ? "1" : "0");
        return new BackendDriver.Update(nodes, true);
    }

    /** What is read from the store. */
    private interface Reading {
        void run() throws XenException;
    }

    /** Reads what has changed; if the store refuses, it has changed still. */
    private static void obey(AtomicBoolean changed, Reading reading) throws XenException {
        if (changed.getAndSet(false)) {
            try {
                reading.run();
            } catch (XenException e) {
                changed.set(true);
                throw e;
            }
        }
    }

    /**
     * The link's own MTU is the guest's, if it can have that: true if it was told now. A frontend's directory that is removed
     * meanwhile must not come back by it.
     */
    private boolean tellMtu(Link open) {
        int now = mtuOf(open);
        StorePath front = frontend;
        if (now == mtu || front == null) {
            return false;
        }
        try {
            boolean told = store().transaction(access -> {
                boolean there = access.exists(front.child("state"));
                if (there) {
                    access.write(front.child("mtu"), Integer.toString(now));
                }
                return there;
            });
            mtu = now;
            return told;
        } catch (StoreException e) {
            LOG.log(Level.DEBUG, "{0}: {1}", name, e.getMessage());
            if (e.errno() == Errno.EACCES || e.errno() == Errno.EPERM) {
                mtu = now; // a driver domain may not write there; all else is tried again
            }
            return false;
        }
    }

    private static int mtuOf(Link open) {
        try {
            return open.mtu();
        } catch (XenException e) {
            LOG.log(Level.DEBUG, e.getMessage());
            return USUAL_MTU;
        }
    }

    private static boolean isUp(Link open) {
        try {
            return open.isUp();
        } catch (XenException e) {
            LOG.log(Level.DEBUG, e.getMessage());
            return true;
        }
    }

    @Override
    public void published() {
        NetSession ready = session;
        if (ready != null) {
            house.listener()
                    .on(new NetEvent.Connected(
                            name,
                            address.frontendDomid(),
                            ready.port(),
                            ready.parameters().queues().size()));
            ready.begin();
            showCarrier();
        }
    }

    /** The cable is plugged in while the guest takes frames. */
    private void showCarrier() {
        NetSession running = session;
        Link open = link;
        boolean on = running != null && running.isReady();
        if (on == carrier || open == null) {
            return;
        }
        carrier = on;
        try {
            open.setCarrier(on);
        } catch (XenException e) {
            LOG.log(Level.WARNING, "{0}: {1}", name, e.getMessage());
        }
        if (running != null) {
            house.listener().on(new NetEvent.Carrier(name, address.frontendDomid(), on));
        }
    }

    @Override
    public void disconnect() {
        if (session != null) {
            endSession();
            house.listener()
                    .on(new NetEvent.Disconnected(
                            name, address.frontendDomid(), counters.txPackets(), counters.rxPackets()));
        }
    }

    private void endSession() {
        NetSession ending = session;
        session = null;
        watches.forEach(StoreWatch::close);
        watches.clear();
        showCarrier();
        if (ending != null) {
            ending.close();
        }
    }

    @Override
    public void close() {
        Link open = link;
        if (open != null) {
            link = null;
            house.rows().removeIf(row -> row.name().equals(name));
            house.vifs().remove(name);
            open.close();
            house.listener().on(new NetEvent.Detached(name, open.name(), address.frontendDomid()));
        }
    }

    /** What its queues obey. */
    NetPolicy policy() {
        return policy;
    }

    /** As {@link NetBackend#rings}. */
    List<String> rings() {
        NetSession running = session;
        return running == null ? List.of() : running.pictures();
    }

    /** As {@link NetBackend#control}. */
    String control() {
        NetSession running = session;
        return running == null ? "" : running.controlPicture();
    }

    private Link openLink() throws XenException {
        Link open = link;
        if (open == null) {
            throw new XenException(Errno.ENXIO, name + ": its link is not open");
        }
        return open;
    }

    private XenStore store() throws StoreException {
        return house.xen().store();
    }

    /** What the queues of one session tell. Any thread. */
    private record Ties(BackendDriver.Session bus) implements NetConnection.Ties {
        @Override
        public void broken(String why) {
            bus.broken(why);
        }

        @Override
        public void changed() {
            bus.changed();
        }
    }
}
