package xenback.block.backend;

import static xenback.fuzz.FuzzTarget.require;

import java.util.HashMap;
import java.util.Map;
import xenback.block.protocol.Abi;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;
import xenback.fuzz.GuestDirectory;
import xenback.xen.XenException;
import xenback.xen.store.StorePath;

/**
 * Any values in a frontend's directory: an honest frontend is taken at its word, and whatever else is written there leads to
 * numbers within what was offered or to a short refusal.
 */
public final class ParametersTarget implements FuzzTarget {
    private static final StorePath FRONTEND = StorePath.of("/local/domain/7/device/vbd/51712");
    private static final int LONGEST_REFUSAL = 400;

    private final Map<String, String> nodes = new HashMap<>();
    private boolean honest;

    @Override
    public void run(FuzzInput in) throws Exception {
        nodes.clear();
        honest = true;
        BlockOptions options =
                new BlockOptions(in.below(5), in.pick(4, 1, 2, 64), in.pick(256, 0), !in.rarely(), false, false);
        int queues = publish(in, options);
        GuestDirectory store = new GuestDirectory(FRONTEND, nodes);
        BlkifParameters read;
        try {
            read = BlkifParameters.read(store, FRONTEND, options);
        } catch (XenException e) {
            require(!honest, "an honest frontend was refused: " + e.getMessage());
            require(
                    e.getMessage().length() < LONGEST_REFUSAL,
                    "a refusal of " + e.getMessage().length() + " chars");
            require(e.getMessage().chars().allMatch(unit -> unit >= ' ' && unit <= '~'), "a refusal with any octets");
            return;
        } finally {
            int most = 5 + options.maxQueues() * (3 + (1 << options.maxRingPageOrder()));
            require(store.reads() <= most, store.reads() + " reads");
        }
        check(read, options);
        require(
                !honest || read.rings().size() == queues,
                "rings of an honest frontend: " + read.rings().size());
    }

    /** Writes what an honest frontend writes, each part of it with a rare broken knob, and rarely something else. */
    private int publish(FuzzInput in, BlockOptions options) {
        int queues = 1 + in.below(options.maxQueues());
        int order = in.below(options.maxRingPageOrder() + 1);
        if (queues > 1 || in.flag()) {
            put(in, "multi-queue-num-queues", queues);
        }
        if (order > 0 || in.flag()) {
            if (in.rarely()) {
                put(in, "num-ring-pages", 1L << order);
            } else {
                put(in, "ring-page-order", order);
            }
        }
        for (int queue = 0; queue < queues; queue++) {
            String prefix = queues > 1 ? "queue-" + queue + "/" : "";
            put(in, prefix + "event-channel", 1 + in.u8());
            for (int page = 0; page < 1 << order; page++) {
                put(in, prefix + "ring-ref" + (order > 0 ? page : ""), 8 + in.u8());
            }
        }
        if (in.flag()) {
            put(in, "feature-persistent", in.below(2));
        }
        if (in.flag()) {
            nodes.put("protocol", in.flag() ? "x86_32-abi" : Abi.NATIVE.wireName());
            if (in.rarely()) {
                breakNode("protocol", in.text(60));
            }
        }
        while (in.rarely()) {
            String[] keys = {"ring-ref", "ring-ref0", "queue-0/ring-ref", "num-ring-pages", "queue-1/event-channel"};
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
        return switch (in.below(8)) {
            case 0 -> Integer.toString(in.u8());
            case 1 -> Integer.toUnsignedString(in.u32());
            case 2 -> Long.toString(in.u64());
            case 3 -> "0".repeat(in.below(12)) + in.u8();
            case 4 -> (in.flag() ? "+" : "-") + in.u8();
            case 5 -> in.u8() + (in.flag() ? " " : "\0");
            case 6 -> in.text(255).repeat(1 + in.below(8));
            default -> in.text(10);
        };
    }

    private void check(BlkifParameters read, BlockOptions options) {
        require(!read.rings().isEmpty() && read.rings().size() <= options.maxQueues(), "rings: " + read.rings());
        require(!read.persistent() || options.persistentGrants(), "persistent grants that were not offered");
        String protocol = nodes.get("protocol");
        Abi expected = protocol == null ? Abi.assumed() : Abi.of(protocol).orElse(null);
        require(expected != null && read.abi().layout().equals(expected.layout()), "ABI of " + protocol);
        int pages = read.rings().getFirst().grefs().size();
        require(Integer.bitCount(pages) == 1 && pages <= 1 << options.maxRingPageOrder(), pages + " pages");
        String prefix = read.rings().size() > 1 ? "queue-" : "";
        for (int i = 0; i < read.rings().size(); i++) {
            BlkifParameters.Ring ring = read.rings().get(i);
            require(ring.grefs().size() == pages, "rings of different sizes");
            require(ring.eventPort() > 0 && ring.eventPort() < 1 << 17, "port " + ring.eventPort());
            String port = nodes.get((prefix.isEmpty() ? "" : prefix + i + "/") + "event-channel");
            require(port != null && Long.parseLong(port) == ring.eventPort(), "port " + ring.eventPort() + ": " + port);
        }
    }
}
