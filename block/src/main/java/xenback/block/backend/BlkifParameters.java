package xenback.block.backend;

import java.util.ArrayList;
import java.util.List;
import xenback.block.protocol.Abi;
import xenback.xen.XenException;
import xenback.xen.bus.GuestNodes;
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

    /** Reads and judges what the frontend wrote. A frontend that takes more than was offered is refused. */
    static BlkifParameters read(XenStore store, StorePath frontend, BlockOptions options) throws XenException {
        GuestNodes nodes = GuestNodes.read(store, frontend, reader -> gather(reader, options));
        int pages = 1 << pageOrder(nodes, options);
        int queues = (int) nodes.number("multi-queue-num-queues", 1, options.maxQueues(), 1);
        List<Ring> rings = new ArrayList<>();
        for (int queue = 0; queue < queues; queue++) {
            rings.add(ring(nodes, prefix(queue, queues), pages));
        }
        boolean persistent = nodes.flag("feature-persistent", false);
        return new BlkifParameters(List.copyOf(rings), abi(nodes), persistent && options.persistentGrants());
    }

    private static void gather(GuestNodes.Reader reader, BlockOptions options) throws StoreException {
        for (String key : List.of(
                "protocol", "feature-persistent", "multi-queue-num-queues", "ring-page-order", "num-ring-pages")) {
            reader.read(key);
        }
        // Only as many as can be right are read; what is wrong is refused by whoever judges the numbers.
        long queues = reader.peek("multi-queue-num-queues", 1);
        int pages = 1 << options.maxRingPageOrder();
        for (int queue = 0; queue < Math.min(queues, options.maxQueues()); queue++) {
            String prefix = prefix(queue, queues);
            reader.read(prefix + "event-channel");
            reader.read(prefix + "ring-ref");
            for (int page = 0; page < pages && reader.read(prefix + "ring-ref" + page); page++) {
                // until one is missing
            }
        }
    }

    /** With one queue the nodes are in the frontend's directory itself (blkif.h, "Multi-queue"). */
    private static String prefix(int queue, long queues) {
        return queues > 1 ? "queue-" + queue + "/" : "";
    }

    /** Two spellings: the order, and the deprecated number of pages, a power of two. */
    private static int pageOrder(GuestNodes nodes, BlockOptions options) throws XenException {
        if (nodes.has("ring-page-order")) {
            return (int) nodes.number("ring-page-order", 0, options.maxRingPageOrder());
        }
        if (!nodes.has("num-ring-pages")) {
            return 0;
        }
        long pages = nodes.number("num-ring-pages", 1, 1L << options.maxRingPageOrder());
        if (Long.bitCount(pages) != 1) {
            throw nodes.refused("num-ring-pages is no power of two: " + pages);
        }
        return Long.numberOfTrailingZeros(pages);
    }

    /** A single page is ring-ref, or ring-ref0 where the frontend names the order too (facts of xen-blkback's multi_ref). */
    private static Ring ring(GuestNodes nodes, String prefix, int pages) throws XenException {
        List<Integer> grefs = new ArrayList<>();
        boolean numbered = pages > 1 || nodes.has(prefix + "ring-ref0");
        for (int page = 0; page < pages; page++) {
            grefs.add((int) nodes.number(prefix + "ring-ref" + (numbered ? page : ""), 0, 0xFFFFFFFFL));
        }
        return new Ring(List.copyOf(grefs), (int) nodes.number(prefix + "event-channel", 1, MOST_PORTS));
    }

    private static Abi abi(GuestNodes nodes) throws XenException {
        if (!nodes.has("protocol")) {
            return Abi.assumed();
        }
        String name = nodes.text("protocol").orElse("");
        return Abi.of(name)
                .orElseThrow(() -> nodes.refused("protocol is " + GuestNodes.printable(name)
                        + ", known are x86_32-abi, x86_64-abi, " + Abi.NATIVE.wireName()));
    }
}
