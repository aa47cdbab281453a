package xenback.block.backend;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import xenback.block.protocol.Abi;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.store.StoreAccess;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * What a frontend wrote about its rings. All of it is the guest's: numbers are decimal ASCII within their range or they are
 * refused (CVE-2026-45890: a count of 0 was believed).
 *
 * @param rings one per queue
 * @param persistent whether the frontend keeps its pages granted
 */
record BlkifParameters(List<Ring> rings, Abi abi, boolean persistent) {
    /**
     * One queue's shared memory and port.
     *
     * @param grefs of the ring's pages in order, a power of two of them
     * @param eventPort the frontend's unbound port
     */
    record Ring(List<Integer> grefs, int eventPort) {}

    private static final long MOST_PORTS = 0x1FFFF; // 2^17 with FIFO channels

    /** The frontend's directory as read in one transaction, so that its values belong together. */
    private record Nodes(StorePath frontend, Map<String, String> values) {
        boolean has(String key) {
            return values.containsKey(key);
        }

        long number(String key, long least, long most) throws XenException {
            String text = values.getOrDefault(key, "");
            long number = BlkifParameters.number(text);
            if (number < least || number > most) {
                throw new XenException(
                        Errno.EINVAL,
                        frontend + ": " + key
                                + (has(key) ? " is no number in range: " + printable(text) : " is missing"));
            }
            return number;
        }
    }

    /** Reads and judges what the frontend wrote. A frontend that takes more than was offered is refused. */
    static BlkifParameters read(XenStore store, StorePath frontend, BlockOptions options) throws XenException {
        Nodes nodes = store.transaction(access -> gather(access, frontend, options));
        int pages = 1 << pageOrder(nodes, options);
        int queues = nodes.has("multi-queue-num-queues")
                ? (int) nodes.number("multi-queue-num-queues", 1, options.maxQueues())
                : 1;
        List<Ring> rings = new ArrayList<>();
        for (int queue = 0; queue < queues; queue++) {
            rings.add(ring(nodes, prefix(queue, queues), pages));
        }
        boolean persistent = nodes.has("feature-persistent") && nodes.number("feature-persistent", 0, 1) == 1;
        return new BlkifParameters(List.copyOf(rings), abi(nodes), persistent && options.persistentGrants());
    }

    private static Nodes gather(StoreAccess access, StorePath frontend, BlockOptions options) throws StoreException {
        Nodes nodes = new Nodes(frontend, new HashMap<>());
        for (String key : List.of(
                "protocol", "feature-persistent", "multi-queue-num-queues", "ring-page-order", "num-ring-pages")) {
            get(access, nodes, key);
        }
        // Only as many as can be right are read; what is wrong is refused by whoever judges the numbers.
        long queues = number(nodes.values().getOrDefault("multi-queue-num-queues", "1"));
        int pages = 1 << options.maxRingPageOrder();
        for (int queue = 0; queue < Math.min(queues, options.maxQueues()); queue++) {
            String prefix = prefix(queue, queues);
            get(access, nodes, prefix + "event-channel");
            get(access, nodes, prefix + "ring-ref");
            for (int page = 0; page < pages && get(access, nodes, prefix + "ring-ref" + page); page++) {
                // until one is missing
            }
        }
        return nodes;
    }

    private static boolean get(StoreAccess access, Nodes nodes, String key) throws StoreException {
        StorePath path = nodes.frontend();
        for (String part : key.split("/", -1)) {
            path = path.child(part);
        }
        access.read(path).ifPresent(value -> nodes.values().put(key, value));
        return nodes.has(key);
    }

    /** With one queue the nodes are in the frontend's directory itself (blkif.h, "Multi-queue"). */
    private static String prefix(int queue, long queues) {
        return queues > 1 ? "queue-" + queue + "/" : "";
    }

    /** Two spellings: the order, and the deprecated number of pages, a power of two. */
    private static int pageOrder(Nodes nodes, BlockOptions options) throws XenException {
        if (nodes.has("ring-page-order")) {
            return (int) nodes.number("ring-page-order", 0, options.maxRingPageOrder());
        }
        if (!nodes.has("num-ring-pages")) {
            return 0;
        }
        long pages = nodes.number("num-ring-pages", 1, 1L << options.maxRingPageOrder());
        if (Long.bitCount(pages) != 1) {
            throw new XenException(Errno.EINVAL, nodes.frontend() + ": num-ring-pages is no power of two: " + pages);
        }
        return Long.numberOfTrailingZeros(pages);
    }

    /** A single page is ring-ref, or ring-ref0 where the frontend names the order too (facts of xen-blkback's multi_ref). */
    private static Ring ring(Nodes nodes, String prefix, int pages) throws XenException {
        List<Integer> grefs = new ArrayList<>();
        boolean numbered = pages > 1 || nodes.has(prefix + "ring-ref0");
        for (int page = 0; page < pages; page++) {
            grefs.add((int) nodes.number(prefix + "ring-ref" + (numbered ? page : ""), 0, 0xFFFFFFFFL));
        }
        return new Ring(List.copyOf(grefs), (int) nodes.number(prefix + "event-channel", 1, MOST_PORTS));
    }

    private static Abi abi(Nodes nodes) throws XenException {
        if (!nodes.has("protocol")) {
            return Abi.assumed();
        }
        String name = nodes.values().getOrDefault("protocol", "");
        return Abi.of(name)
                .orElseThrow(() -> new XenException(
                        Errno.EINVAL,
                        nodes.frontend() + ": protocol is " + printable(name) + ", known are x86_32-abi, x86_64-abi, "
                                + Abi.NATIVE.wireName()));
    }

    /** One to ten digits; anything else is -1. */
    private static long number(String text) {
        long number = text.isEmpty() || text.length() > 10 ? -1 : 0;
        for (int i = 0; number >= 0 && i < text.length(); i++) {
            int digit = text.charAt(i) - '0';
            number = digit < 0 || digit > 9 ? -1 : number * 10 + digit;
        }
        return number;
    }

    /** A guest's text for a log line: short, and without control characters. */
    private static String printable(String text) {
        String shown = text.length() > 40 ? text.substring(0, 40) + "..." : text;
        return "'" + shown.replaceAll("[^ -~]", "?") + "'";
    }
}
