package xenback.net.backend;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import xenback.net.link.Link;
import xenback.net.link.LinkQueue;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.Netif;
import xenback.xen.Xen;
import xenback.xen.XenException;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantMapping;
import xenback.xen.grant.GrantTable;
import xenback.xen.io.EventLoop;
import xenback.xen.io.LoopSource;
import xenback.xen.io.Tap;
import xenback.xen.ring.BackRing;

/**
 * One connected life of an interface, from the mapping of its rings to the last response. A new connection is a new session.
 * Owns its Arena and, per queue, the rings' mappings, the event channels, the link's queue and, unless it is shared, the loop.
 */
final class NetSession {
    /**
     * What a session is made of.
     *
     * @param name the interface, {@code xnb1i0}
     */
    record Setting(
            String name,
            Xen xen,
            int guestDomid,
            Link link,
            LoopSource loops,
            NetCounters counters,
            NetOptions options,
            NetPolicy policy,
            NetConnection.Ties ties) {}

    private static final int PICTURE_SECONDS = 2;

    private final Arena arena = Arena.ofShared();
    private final Setting setting;
    private final NetifParameters parameters;
    private final List<Served> queues = new ArrayList<>();
    private @Nullable ServedControl control;

    private NetSession(Setting setting, NetifParameters parameters) {
        this.setting = setting;
        this.parameters = parameters;
    }

    /** Maps the rings, binds the ports and makes the queues, which do not serve yet. */
    static NetSession open(Setting setting, NetifParameters parameters) throws XenException {
        NetSession session = new NetSession(setting, parameters);
        try {
            for (NetifParameters.Rings rings : parameters.queues()) {
                Served served = session.new Served(session.queues.size());
                session.queues.add(served);
                served.connect(rings);
            }
            if (parameters.control().isPresent()) {
                session.steer();
                ServedControl served = session.new ServedControl();
                session.control = served;
                served.connect(parameters.control().get());
            }
            return session;
        } catch (XenException e) {
            session.close();
            throw e;
        }
    }

    /** A guest with a control ring may want frames on other queues than the link's. */
    private void steer() {
        List<NetQueue> all = netQueues();
        for (int i = 0; i < all.size() && all.size() > 1; i++) {
            all.get(i).steer(all, i, arena);
        }
    }

    private List<NetQueue> netQueues() {
        return queues.stream()
                .map(served -> served.queue)
                .filter(Objects::nonNull)
                .toList();
    }

    NetifParameters parameters() {
        return parameters;
    }

    /** Our end of the first queue's event channel. */
    int port() {
        return queues.getFirst().txPort;
    }

    void begin() {
        queues.forEach(served -> served.run(NetQueue::begin));
        if (control != null) {
            control.begin();
        }
    }

    /** Whether every queue of the guest takes frames: the carrier. */
    boolean isReady() {
        return queues.stream().noneMatch(served -> served.queue != null && served.queue.isStalled());
    }

    /** What is due about once a second. */
    void keepHouse() {
        queues.forEach(served -> served.run(NetQueue::keepHouse));
    }

    /** The rings in words, an entry for each queue. Waits a while for the queues' threads, so it is not for a loop's own. */
    List<String> pictures() {
        return ofEach(served -> String.valueOf(served.queue));
    }

    /** What the guest has asked for by its control ring, in words. Waits as {@link #pictures} does. */
    String controlPicture() {
        StringBuilder text = new StringBuilder();
        text.append("control ring ").append(parameters.control().isPresent() ? "connected" : "none");
        text.append('\n').append(setting.policy().hash());
        List<String> staged = ofEach(Served::stagedPicture);
        for (int i = 0; i < staged.size(); i++) {
            text.append("\nqueue ").append(i).append(' ').append(staged.get(i));
        }
        return text.toString();
    }

    private List<String> ofEach(Function<Served, String> words) {
        List<CompletableFuture<String>> pictures = new ArrayList<>();
        for (Served served : queues) {
            CompletableFuture<String> picture = new CompletableFuture<>();
            pictures.add(picture);
            served.run(queue -> {
                try {
                    picture.complete(words.apply(served));
                } catch (IllegalStateException e) {
                    picture.complete("the rings are given back");
                }
            });
        }
        return pictures.stream()
                .map(picture -> picture.completeOnTimeout("no answer", PICTURE_SECONDS, TimeUnit.SECONDS)
                        .join())
                .toList();
    }

    /** Gives everything back. Never waits for the guest. */
    void close() {
        if (control != null) {
            control.drain().join(); // first, for it hands work to the queues' loops
        }
        List<CompletableFuture<Boolean>> drains =
                queues.stream().map(Served::drain).toList();
        drains.forEach(CompletableFuture::join);
        if (control != null) {
            control.close();
        }
        queues.forEach(Served::close);
        arena.close();
    }

    /** What frames may leave undone for this guest. */
    private int offload() {
        NetifParameters.Receives receives = parameters.receives();
        boolean blank = receives.blankChecksum4() || receives.blankChecksum6();
        return !blank
                ? 0
                : Tap.OFFLOAD_CHECKSUM
                        | (receives.tso4() ? Tap.OFFLOAD_TSO4 | Tap.OFFLOAD_TSO_ECN : 0)
                        | (receives.tso6() ? Tap.OFFLOAD_TSO6 | Tap.OFFLOAD_TSO_ECN : 0);
    }

    /** A queue and what it stands on. */
    private final class Served {
        private final int number;
        private LoopSource.@Nullable Lease lease;
        private @Nullable EventChannels events;
        private @Nullable GrantTable grants;
        private @Nullable GrantMapping txPage;
        private @Nullable GrantMapping rxPage;
        private @Nullable StagedGrants staged;
        private @Nullable LinkQueue link;
        private @Nullable NetQueue queue;
        private @Nullable NetConnection connection;
        private int txPort;

        Served(int number) {
            this.number = number;
        }

        void connect(NetifParameters.Rings rings) throws XenException {
            LoopSource.Lease taken = setting.loops().take(setting.name(), number);
            lease = taken;
            int guest = setting.guestDomid();
            GrantTable grantTable = setting.xen().openGrantTable();
            grants = grantTable;
            GrantMapping tx = grantTable.map(guest, new int[] {rings.txGref()}, true);
            txPage = tx;
            GrantMapping rx = grantTable.map(guest, new int[] {rings.rxGref()}, true);
            rxPage = rx;
            EventChannels channels = setting.xen().openEventChannels(guest);
            events = channels;
            txPort = channels.bindInterdomain(guest, rings.txPort());
            int rxPort = rings.rxPort() == rings.txPort() ? txPort : channels.bindInterdomain(guest, rings.rxPort());
            LinkQueue linkQueue = setting.link().openQueue(number);
            link = linkQueue;
            linkQueue.setOffload(offload());
            NetOptions options = setting.options();
            if (options.stagedGrants() > 0 && parameters.control().isPresent()) {
                staged = new StagedGrants(grantTable, guest, options.stagedGrants());
            }
            EventLoop loop = taken.loop();
            NetConnection made = new NetConnection(
                    setting.name(),
                    guest,
                    parameters.receives(),
                    setting.policy(),
                    parameters.kicks(),
                    options.drainTimeout().toNanos(),
                    options.stallTimeout().toNanos(),
                    loop,
                    channels,
                    txPort,
                    rxPort,
                    grantTable,
                    staged,
                    linkQueue,
                    setting.ties());
            connection = made;
            queue = new NetQueue(
                    made,
                    BackRing.attach(tx.memory(), Netif.TX_SLOT_BYTES),
                    BackRing.attach(rx.memory(), Netif.RX_SLOT_BYTES),
                    setting.counters().queue(number),
                    arena);
        }

        private String stagedPicture() {
            StagedGrants pages = staged;
            return pages == null ? "staged none" : "staged " + pages.mapped() + " of " + pages.capacity();
        }

        void run(Consumer<NetQueue> task) {
            NetQueue ready = queue;
            LoopSource.Lease home = lease;
            if (ready != null && home != null) {
                home.loop().execute(() -> task.accept(ready));
            }
        }

        CompletableFuture<Boolean> drain() {
            CompletableFuture<Boolean> idle = new CompletableFuture<>();
            if (queue == null) {
                idle.complete(true);
            }
            run(running -> running.drain(() -> idle.complete(true)));
            return idle;
        }

        /** After the drain: nobody touches the rings any more. */
        void close() {
            if (lease != null && !lease.shared()) {
                lease.loop().close();
            }
            if (link != null) {
                link.close();
            }
            if (events != null) {
                events.close();
            }
            if (txPage != null) {
                txPage.close();
            }
            if (rxPage != null) {
                rxPage.close();
            }
            if (staged != null) {
                staged.close();
            }
            if (grants != null) {
                grants.close();
            }
        }
    }

    /** The control ring and what it stands on. */
    private final class ServedControl {
        private @Nullable EventChannels events;
        private @Nullable GrantTable grants;
        private @Nullable GrantMapping page;
        private @Nullable ControlQueue queue;
        private @Nullable EventLoop loop;

        void connect(NetifParameters.Control control) throws XenException {
            int guest = setting.guestDomid();
            NetConnection first = queues.getFirst().connection;
            if (first == null) {
                throw new IllegalStateException("no queue");
            }
            GrantTable grantTable = setting.xen().openGrantTable();
            grants = grantTable;
            GrantMapping mapping = grantTable.map(guest, new int[] {control.gref()}, true);
            page = mapping;
            EventChannels channels = setting.xen().openEventChannels(guest);
            events = channels;
            int port = channels.bindInterdomain(guest, control.port());
            loop = first.loop();
            BackRing ring = BackRing.attach(mapping.memory(), NetControl.SLOT_BYTES);
            queue = new ControlQueue(first, channels, port, ring, grantTable, netQueues(), arena);
        }

        void begin() {
            if (queue != null && loop != null) {
                loop.execute(queue::begin);
            }
        }

        CompletableFuture<Boolean> drain() {
            CompletableFuture<Boolean> idle = new CompletableFuture<>();
            if (queue == null || loop == null) {
                idle.complete(true);
            } else {
                ControlQueue ending = queue;
                loop.execute(() -> ending.drain(() -> idle.complete(true)));
            }
            return idle;
        }

        void close() {
            if (events != null) {
                events.close();
            }
            if (page != null) {
                page.close();
            }
            if (grants != null) {
                grants.close();
            }
        }
    }
}
