package xenback.net.frontend;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import xenback.net.link.Link;
import xenback.net.link.LinkQueue;
import xenback.net.packet.Mac;
import xenback.net.packet.Toeplitz;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetControl.Answer;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.bus.FrontendDevice;
import xenback.xen.bus.FrontendDriver;
import xenback.xen.embedded.Domain;
import xenback.xen.io.EventLoop;
import xenback.xen.io.Tap;
import xenback.xen.store.StorePath;

/** xn: a guest's Ethernet device, whose frames go to and come from a link of its own: the guest's end of the crossover cable. */
public final class Xn implements AutoCloseable {
    private static final Duration ATTACH_PATIENCE = Duration.ofSeconds(30);
    private static final int HEADROOM_BYTES = 256; // XDP_PACKET_HEADROOM of Linux
    private static final int GRANTS_PER_LIST = 512;
    private static final int LEAST_MTU = 68;
    private static final int MOST_MTU = 65521;

    private final String name;
    private final Domain guest;
    private final Link link;
    private final XnOptions options;
    private final List<EventLoop> loops;
    private final FrontendDevice device;
    private volatile List<XnQueue> queues = List.of();

    private Xn(String name, Domain guest, StorePath frontend, XnOptions options, Link link, List<EventLoop> loops)
            throws XenException {
        this.options = options;
        this.name = name;
        this.guest = guest;
        this.link = link;
        this.loops = List.copyOf(loops);
        device = FrontendDevice.start(guest.store(), frontend, Instance::new);
    }

    /**
     * Starts the driver for a device that the toolstack has attached, and waits until it is in use.
     *
     * @param name what the guest calls it, {@code xn0}
     * @param link what stands for the guest's network stack; the caller closes it, after this
     * @param loops one per queue; the caller closes them, after this
     */
    public static Xn start(String name, Domain guest, StorePath frontend, Link link, List<EventLoop> loops)
            throws XenException {
        return start(name, guest, frontend, XnOptions.usual(), link, loops);
    }

    /** The same, for a driver that makes use of less or more. */
    public static Xn start(
            String name, Domain guest, StorePath frontend, XnOptions options, Link link, List<EventLoop> loops)
            throws XenException {
        Xn xn = new Xn(name, guest, frontend, options, link, loops);
        try {
            if (xn.device.awaitAttached(ATTACH_PATIENCE)) {
                return xn;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        xn.device.close();
        throw new XenException(Errno.EIO, name + ": the backend of " + frontend + " does not connect");
    }

    /** How many pages of its domain an interface with so many queues takes. */
    public static int guestPages(int queues) {
        return queues * XnQueue.GUEST_PAGES + XnControl.GUEST_PAGES;
    }

    public String name() {
        return name;
    }

    /** Waits until the toolstack has removed the device and this end has given everything back. */
    public boolean awaitEnd(Duration atMost) throws InterruptedException {
        return device.awaitEnd(atMost);
    }

    /** The guest crashes: its end goes without a word in the store. Idempotent. */
    @Override
    public void close() {
        device.close();
    }

    @Override
    public String toString() {
        return name + ": " + queues;
    }

    /** What the bus drives. On the device's control thread. */
    private final class Instance implements FrontendDriver.Instance {
        private final FrontendDriver.Address address;
        private @Nullable XnControl control;
        private int shownMtu;
        private boolean carrier;

        Instance(FrontendDriver.Address address) {
            this.address = address;
        }

        @Override
        public SequencedMap<String, String> prepare() throws XenException {
            List<XnQueue> made = new ArrayList<>();
            queues = made; // so that release finds what was made before a failure
            boolean scatterGather = uses(XnFeature.SCATTER_GATHER, "feature-sg");
            XnQueue.Sends sends = new XnQueue.Sends(
                    scatterGather,
                    options.uses(XnFeature.CHECKSUM4) && !offered("feature-no-csum-offload"),
                    uses(XnFeature.CHECKSUM6, "feature-ipv6-csum-offload"));
            // The checksum of a large frame is blank always.
            boolean tso4 = scatterGather && sends.blankChecksum4() && uses(XnFeature.TSO4, "feature-gso-tcpv4");
            boolean tso6 = scatterGather && sends.blankChecksum6() && uses(XnFeature.TSO6, "feature-gso-tcpv6");
            SequencedMap<String, String> nodes = new LinkedHashMap<>();
            nodes.put("request-rx-copy", "1");
            put(nodes, "feature-rx-notify", XnFeature.RX_NOTIFY);
            put(nodes, "feature-sg", XnFeature.SCATTER_GATHER);
            put(nodes, "feature-gso-tcpv4", XnFeature.TSO4);
            put(nodes, "feature-gso-tcpv6", XnFeature.TSO6);
            put(nodes, "feature-ipv6-csum-offload", XnFeature.CHECKSUM6);
            nodes.put("feature-no-csum-offload", options.uses(XnFeature.CHECKSUM4) ? "0" : "1");
            if (uses(XnFeature.XDP_HEADROOM, "feature-xdp-headroom")) {
                nodes.put("xdp-headroom", Integer.toString(HEADROOM_BYTES));
            }
            int count = options.uses(XnFeature.MULTI_QUEUE) ? Math.min(loops.size(), offeredQueues()) : 1;
            if (count > 1) {
                nodes.put("multi-queue-num-queues", Integer.toString(count));
            }
            boolean split = uses(XnFeature.SPLIT_CHANNELS, "feature-split-event-channels");
            int offload = Tap.OFFLOAD_CHECKSUM
                    | (tso4 ? Tap.OFFLOAD_TSO4 | Tap.OFFLOAD_TSO_ECN : 0)
                    | (tso6 ? Tap.OFFLOAD_TSO6 | Tap.OFFLOAD_TSO_ECN : 0);
            for (int i = 0; i < count; i++) {
                LinkQueue linkQueue = link.openQueue(i);
                linkQueue.setOffload(offload);
                XnQueue queue = XnQueue.open(name, guest, address, loops.get(i), linkQueue, sends, split);
                made.add(queue);
                publish(nodes, count > 1 ? "queue-" + i + "/" : "", queue);
            }
            queues = List.copyOf(made);
            boolean wantsControl = options.uses(XnFeature.STAGED_GRANTS) || options.uses(XnFeature.HASH);
            if (wantsControl && offered("feature-ctrl-ring")) {
                XnControl ring = new XnControl(guest, address.backendDomid(), loops.getFirst());
                control = ring;
                nodes.put("ctrl-ring-ref", Integer.toUnsignedString(ring.gref()));
                nodes.put("event-channel-ctrl", Integer.toString(ring.port()));
            }
            return nodes;
        }

        private static void publish(SequencedMap<String, String> nodes, String prefix, XnQueue queue) {
            nodes.put(prefix + "tx-ring-ref", Integer.toUnsignedString(queue.txGref()));
            nodes.put(prefix + "rx-ring-ref", Integer.toUnsignedString(queue.rxGref()));
            if (queue.rxPort() == queue.txPort()) {
                nodes.put(prefix + "event-channel", Integer.toString(queue.txPort()));
            } else {
                nodes.put(prefix + "event-channel-tx", Integer.toString(queue.txPort()));
                nodes.put(prefix + "event-channel-rx", Integer.toString(queue.rxPort()));
            }
        }

        private void put(SequencedMap<String, String> nodes, String key, XnFeature feature) {
            nodes.put(key, options.uses(feature) ? "1" : "0");
        }

        private boolean uses(XnFeature feature, String key) throws XenException {
            return options.uses(feature) && offered(key);
        }

        private boolean offered(String key) throws XenException {
            return guest.store().read(address.backend().child(key)).orElse("").equals("1");
        }

        private int offeredQueues() throws XenException {
            String text = guest.store()
                    .read(address.backend().child("multi-queue-max-queues"))
                    .orElse("1");
            try {
                return Math.clamp(Long.parseLong(text), 1, 64);
            } catch (NumberFormatException e) {
                return 1;
            }
        }

        @Override
        public void attach() throws XenException {
            Optional<Mac> mac =
                    guest.store().read(address.frontend().child("mac")).flatMap(Mac::parse);
            if (mac.isPresent() && mac.get().isStation()) {
                link.setMac(mac.get());
            }
            refresh();
            queues.forEach(queue -> queue.loop().execute(queue::begin));
            XnControl ring = control;
            if (ring != null) {
                ring.begin();
                if (options.uses(XnFeature.STAGED_GRANTS)) {
                    stage(ring);
                }
                if (options.uses(XnFeature.HASH)) {
                    hash(ring);
                }
            }
        }

        /** Has all pages mapped, as many as the backend takes; the rest it copies. */
        private void stage(XnControl ring) throws XenException {
            for (int i = 0; i < queues.size(); i++) {
                XnQueue queue = queues.get(i);
                int room = ring.ask(NetControl.GET_GREF_MAPPING_SIZE, i, 0, 0).data();
                room -= stage(ring, i, queue.receiveGrefs(), room, false);
                stage(ring, i, queue.sendGrefs(), room, true);
            }
        }

        private int stage(XnControl ring, int queue, int[] grefs, int room, boolean readOnly) throws XenException {
            int most = Math.min(grefs.length, room);
            int done = 0;
            while (done < most) {
                int count = Math.min(GRANTS_PER_LIST, most - done);
                for (int i = 0; i < count; i++) {
                    NetControl.putGrant(ring.page(), i, grefs[done + i], readOnly);
                }
                Answer answer = ring.ask(NetControl.ADD_GREF_MAPPING, queue, ring.pageGref(), count);
                if (answer.status() != NetControl.STATUS_SUCCESS) {
                    break;
                }
                done += count;
            }
            return done;
        }

        /** A key at random, so that nobody can choose which queue to fill. */
        private void hash(XnControl ring) throws XenException {
            byte[] key = new byte[Toeplitz.MAX_KEY_BYTES];
            new SecureRandom().nextBytes(key);
            MemorySegment.copy(key, 0, ring.page(), ValueLayout.JAVA_BYTE, 0, key.length);
            int types = Toeplitz.IPV4 | Toeplitz.IPV4_TCP | Toeplitz.IPV6 | Toeplitz.IPV6_TCP;
            ring.ask(NetControl.SET_HASH_ALGORITHM, NetControl.ALGORITHM_TOEPLITZ, 0, 0);
            ring.ask(NetControl.SET_HASH_KEY, ring.pageGref(), key.length, 0);
            ring.ask(NetControl.SET_HASH_FLAGS, types, 0, 0);
        }

        /** The backend tells the MTU, and whether its own end is switched on. */
        @Override
        public void refresh() throws XenException {
            int mtu = number(guest.store().read(address.frontend().child("mtu")).orElse(""));
            if (mtu >= LEAST_MTU && mtu <= MOST_MTU && mtu != shownMtu) {
                shownMtu = mtu;
                link.setMtu(mtu);
            }
            boolean on = !guest.store()
                    .read(address.backend().child("carrier"))
                    .orElse("1")
                    .equals("0");
            if (on != carrier) {
                carrier = on;
                link.setCarrier(on);
            }
        }

        private static int number(String text) {
            return text.matches("[0-9]{1,5}") ? Integer.parseInt(text) : 0;
        }

        @Override
        public void detach() {
            List<CompletableFuture<Boolean>> ends = new ArrayList<>();
            for (XnQueue queue : queues) {
                CompletableFuture<Boolean> ended = new CompletableFuture<>();
                ends.add(ended);
                queue.loop().execute(() -> queue.end(() -> ended.complete(true)));
            }
            ends.forEach(CompletableFuture::join);
            try {
                carrier = false;
                link.setCarrier(false);
            } catch (XenException e) {
                System.getLogger(Xn.class.getName()).log(System.Logger.Level.DEBUG, e.getMessage());
            }
        }

        @Override
        public void release() {
            List<XnQueue> ending = queues;
            queues = List.of();
            ending.forEach(XnQueue::close);
            XnControl ring = control;
            control = null;
            if (ring != null) {
                ring.close();
            }
        }
    }
}
