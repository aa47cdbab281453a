package xenback.net.backend;

import static xenback.fuzz.FuzzTarget.require;

import java.util.HashMap;
import java.util.Map;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;
import xenback.fuzz.GuestDirectory;
import xenback.xen.XenException;
import xenback.xen.bus.GuestNodes;
import xenback.xen.store.StorePath;

/**
 * Any values in a network frontend's directory: an honest frontend is taken at its word, and whatever else is written there leads
 * to numbers within what was offered or to a short refusal.
 */
public final class NetParametersTarget implements FuzzTarget {
    private static final StorePath FRONTEND = StorePath.of("/local/domain/7/device/vif/0");
    private static final int LONGEST_REFUSAL = 400;

    /** Nodes that are read once, and those of each queue. */
    private static final int MOST_READS = 16;

    private static final int MOST_READS_OF_A_QUEUE = 8;

    private final Map<String, String> nodes = new HashMap<>();
    private boolean honest;

    @Override
    public void run(FuzzInput in) throws Exception {
        nodes.clear();
        honest = true;
        int most = in.pick(4, 1, 2, 64);
        NetOptions options = NetOptions.usual().withQueues(most);
        for (NetFeature feature : NetFeature.values()) {
            options = in.rarely() ? options.without(feature) : options;
        }
        int queues = publish(in, most);
        GuestDirectory store = new GuestDirectory(FRONTEND, nodes);
        NetifParameters read;
        NetifParameters.wishes(new GuestDirectory(FRONTEND, nodes), FRONTEND, options); // any are taken or left
        try {
            read = NetifParameters.read(store, FRONTEND, options);
        } catch (XenException e) {
            String why = String.valueOf(e.getMessage());
            require(!honest, "an honest frontend was refused: " + why);
            require(why.length() < LONGEST_REFUSAL, "a refusal of " + why.length() + " chars");
            require(why.chars().allMatch(unit -> unit >= ' ' && unit <= '~'), "a refusal with any octets");
            return;
        } finally {
            require(store.reads() <= MOST_READS + most * MOST_READS_OF_A_QUEUE, store.reads() + " reads");
        }
        check(read, options);
        require(
                !honest || read.queues().size() == queues,
                "queues of an honest frontend: " + read.queues().size());
    }

    /** Writes what an honest frontend writes, each part of it with a rare broken knob, and rarely something else. */
    private int publish(FuzzInput in, int most) {
        int queues = 1 + in.below(most);
        boolean split = in.flag();
        put(in, "request-rx-copy", 1);
        if (queues > 1 || in.flag()) {
            put(in, "multi-queue-num-queues", queues);
        }
        for (String feature : new String[] {
            "feature-rx-notify",
            "feature-sg",
            "feature-gso-tcpv4",
            "feature-gso-tcpv6",
            "feature-no-csum-offload",
            "feature-ipv6-csum-offload"
        }) {
            if (in.flag()) {
                put(in, feature, in.below(2));
            }
        }
        for (int queue = 0; queue < queues; queue++) {
            String prefix = queues > 1 ? "queue-" + queue + "/" : "";
            put(in, prefix + "tx-ring-ref", 8 + in.u8());
            put(in, prefix + "rx-ring-ref", 8 + in.u8());
            if (split) {
                put(in, prefix + "event-channel-tx", 1 + in.u8());
                put(in, prefix + "event-channel-rx", 1 + in.u8());
            } else {
                put(in, prefix + "event-channel", 1 + in.u8());
            }
        }
        if (in.flag()) {
            put(in, "ctrl-ring-ref", 8 + in.u8());
            put(in, "event-channel-ctrl", 1 + in.u8());
        }
        if (in.rarely()) {
            breakNode("request-multicast-control", number(in));
        }
        while (in.rarely()) {
            String[] keys = {
                "tx-ring-ref", "queue-0/rx-ring-ref", "queue-1/event-channel", "event-channel-rx", "xdp-headroom"
            };
            breakNode(keys[in.below(keys.length)], number(in));
        }
        return queues;
    }

    private void put(FuzzInput in, String key, long value) {
        nodes.put(key, Long.toString(value));
        if (!in.rarely()) {
            return;
        }
        if (in.rarely()) {
            nodes.remove(key);
            honest = false;
        } else {
            breakNode(key, number(in));
        }
    }

    private void breakNode(String key, String value) {
        nodes.put(key, value);
        honest = false;
    }

    private static String number(FuzzInput in) {
        return switch (in.below(7)) {
            case 0 -> Integer.toString(in.u8());
            case 1 -> Integer.toUnsignedString(in.u32());
            case 2 -> Long.toString(in.u64());
            case 3 -> "0".repeat(in.below(12)) + in.u8();
            case 4 -> (in.flag() ? "+" : "-") + in.u8();
            case 5 -> in.u8() + (in.flag() ? " " : "\0");
            default -> in.text(255).repeat(1 + in.below(8));
        };
    }

    private void check(NetifParameters read, NetOptions options) {
        require(!read.queues().isEmpty() && read.queues().size() <= options.maxQueues(), "queues: " + read.queues());
        for (NetifParameters.Rings rings : read.queues()) {
            require(rings.txPort() > 0 && rings.txPort() < 1 << 17, "port " + rings.txPort());
            require(rings.rxPort() > 0 && rings.rxPort() < 1 << 17, "port " + rings.rxPort());
        }
        String copy = nodes.get("request-rx-copy");
        require(copy != null && GuestNodes.number(copy) == 1, "a frontend without rx-copy: " + copy);
        NetifParameters.Receives receives = read.receives();
        require(
                receives.scatterGather() || !receives.tso4() && !receives.tso6(),
                "large frames without scatter-gather");
    }
}
