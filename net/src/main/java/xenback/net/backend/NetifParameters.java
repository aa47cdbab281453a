package xenback.net.backend;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import xenback.xen.XenException;
import xenback.xen.bus.GuestNodes;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * What a frontend wrote about its rings and abilities (netif.h).
 *
 * @param queues one pair of rings each
 * @param receives what it can receive
 * @param kicks it sends an event when it has posted receive requests (feature-rx-notify)
 * @param control its control ring, if it has one
 */
record NetifParameters(List<Rings> queues, Receives receives, boolean kicks, Optional<Control> control) {
    /** The control ring. */
    record Control(int gref, int port) {}

    /** What a frontend may change while it is connected. */
    record Wishes(boolean groupsOnly, int headroom) {}

    /**
     * One queue.
     *
     * @param rxPort the same as {@code txPort} if there is one event channel for both
     */
    record Rings(int txGref, int rxGref, int txPort, int rxPort) {}

    /** What may be sent to the guest. */
    record Receives(
            boolean scatterGather, boolean tso4, boolean tso6, boolean blankChecksum4, boolean blankChecksum6) {}

    private static final long MOST_PORTS = 0x1FFFF; // 2^17 with FIFO channels

    /** That it will not have pages flipped is what a frontend says last (GNU Mach's, after it has seen what we offer). */
    static final String RX_COPY = "request-rx-copy";

    private static final List<String> FEATURES = List.of(
            RX_COPY,
            "multi-queue-num-queues",
            "feature-rx-notify",
            "feature-sg",
            "feature-gso-tcpv4",
            "feature-gso-tcpv6",
            "feature-no-csum-offload",
            "feature-ipv6-csum-offload",
            "ctrl-ring-ref",
            "event-channel-ctrl");

    /** Half a page: what is left still holds any header. Linux' netfront asks for 256 (XDP_PACKET_HEADROOM). */
    private static final int MOST_HEADROOM = 2048;

    private static final String GROUPS_ONLY = "request-multicast-control";
    private static final String HEADROOM = "xdp-headroom";

    /** The nodes of {@link Wishes}. */
    static final List<String> WISHES = List.of(GROUPS_ONLY, HEADROOM);

    private static final List<String> OF_A_QUEUE =
            List.of("tx-ring-ref", "rx-ring-ref", "event-channel", "event-channel-tx", "event-channel-rx");

    /** Reads and judges what the frontend wrote. A frontend that takes more than was offered is refused. */
    static NetifParameters read(XenStore store, StorePath frontend, NetOptions options) throws XenException {
        GuestNodes nodes = GuestNodes.read(store, frontend, reader -> gather(reader, options));
        if (!nodes.flag(RX_COPY, false)) {
            throw nodes.refused(RX_COPY + " is not 1: the frontend wants pages flipped, which nobody does any more");
        }
        int queues = (int) nodes.number("multi-queue-num-queues", 1, options.maxQueues(), 1);
        List<Rings> rings = new ArrayList<>();
        for (int queue = 0; queue < queues; queue++) {
            rings.add(rings(nodes, prefix(queue, queues)));
        }
        boolean scatterGather = options.offers(NetFeature.SCATTER_GATHER) && nodes.flag("feature-sg", false);
        boolean blank4 = !nodes.flag("feature-no-csum-offload", false); // the other way round (netif.h)
        boolean blank6 = nodes.flag("feature-ipv6-csum-offload", false);
        boolean tso4 = options.offers(NetFeature.TSO4) && nodes.flag("feature-gso-tcpv4", false);
        boolean tso6 = options.offers(NetFeature.TSO6) && nodes.flag("feature-gso-tcpv6", false);
        Receives receives = new Receives(
                scatterGather,
                scatterGather && blank4 && tso4, // the checksum of a large frame is blank always
                scatterGather && blank6 && tso6,
                blank4,
                blank6);
        return new NetifParameters(
                List.copyOf(rings), receives, nodes.flag("feature-rx-notify", false), control(nodes, options));
    }

    private static Optional<Control> control(GuestNodes nodes, NetOptions options) throws XenException {
        if (!options.offers(NetFeature.CONTROL_RING) || !nodes.has("ctrl-ring-ref")) {
            return Optional.empty();
        }
        return Optional.of(new Control((int) nodes.number("ctrl-ring-ref", 0, 0xFFFFFFFFL), (int)
                nodes.number("event-channel-ctrl", 1, MOST_PORTS)));
    }

    /** Reads what the frontend may have changed since; what makes no sense is not wished. */
    static Wishes wishes(XenStore store, StorePath frontend, NetOptions options) throws XenException {
        GuestNodes nodes = GuestNodes.read(store, frontend, reader -> {
            for (String key : WISHES) {
                reader.read(key);
            }
        });
        boolean groupsOnly = options.offers(NetFeature.MULTICAST_CONTROL)
                && nodes.text(GROUPS_ONLY).orElse("").equals("1");
        int headroom = 0;
        if (options.offers(NetFeature.XDP_HEADROOM)) {
            try {
                headroom = (int) nodes.number(HEADROOM, 0, MOST_HEADROOM, 0);
            } catch (XenException e) {
                System.getLogger(NetifParameters.class.getName()).log(System.Logger.Level.DEBUG, e.getMessage());
            }
        }
        return new Wishes(groupsOnly, headroom);
    }

    private static void gather(GuestNodes.Reader reader, NetOptions options) throws StoreException {
        for (String key : FEATURES) {
            reader.read(key);
        }
        long queues = reader.peek("multi-queue-num-queues", 1);
        for (int queue = 0; queue < Math.min(queues, options.maxQueues()); queue++) {
            for (String key : OF_A_QUEUE) {
                reader.read(prefix(queue, queues) + key);
            }
        }
    }

    /** With one queue the nodes are in the frontend's directory itself (netif.h, "multi-queue"). */
    private static String prefix(int queue, long queues) {
        return queues > 1 ? "queue-" + queue + "/" : "";
    }

    private static Rings rings(GuestNodes nodes, String prefix) throws XenException {
        boolean split = nodes.has(prefix + "event-channel-tx");
        int txPort = (int) nodes.number(prefix + (split ? "event-channel-tx" : "event-channel"), 1, MOST_PORTS);
        int rxPort = split ? (int) nodes.number(prefix + "event-channel-rx", 1, MOST_PORTS) : txPort;
        return new Rings(
                (int) nodes.number(prefix + "tx-ring-ref", 0, 0xFFFFFFFFL),
                (int) nodes.number(prefix + "rx-ring-ref", 0, 0xFFFFFFFFL),
                txPort,
                rxPort);
    }
}
