package xenback.block.backend;

import java.util.Optional;
import xenback.block.protocol.Abi;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * What a frontend wrote about its ring. All of it is the guest's: numbers are decimal ASCII within their range or they are
 * refused (CVE-2026-45890: a count of 0 was believed).
 *
 * @param ringGref grant of the ring's page
 * @param eventPort the frontend's unbound port
 */
record BlkifParameters(int ringGref, int eventPort, Abi abi) {
    /** Offered as {@code max-ring-page-order}. */
    static final int MAX_RING_PAGE_ORDER = 0;

    /** Reads the keys in one transaction, so that they belong together. */
    static BlkifParameters read(XenStore store, StorePath frontend) throws XenException {
        record Raw(
                Optional<String> order,
                Optional<String> queues,
                Optional<String> ring,
                Optional<String> port,
                Optional<String> protocol) {}
        Raw raw = store.transaction(access -> new Raw(
                access.read(frontend.child("ring-page-order")),
                access.read(frontend.child("multi-queue-num-queues")),
                // A frontend may name its single page as the first of several (blkif.h, ring-ref0).
                access.read(frontend.child("ring-ref")).or(() -> readQuietly(access, frontend.child("ring-ref0"))),
                access.read(frontend.child("event-channel")),
                access.read(frontend.child("protocol"))));
        // A frontend that takes more than was offered would use a ring of another size than we.
        if (raw.order().isPresent()) {
            number(frontend, "ring-page-order", raw.order(), 0, MAX_RING_PAGE_ORDER);
        }
        if (raw.queues().isPresent()) {
            number(frontend, "multi-queue-num-queues", raw.queues(), 1, 1);
        }
        int gref = (int) number(frontend, "ring-ref", raw.ring(), 0, 0xFFFFFFFFL);
        int port = (int) number(frontend, "event-channel", raw.port(), 1, 0x1FFFF); // 2^17 ports with FIFO channels
        Abi abi = raw.protocol().isEmpty()
                ? Abi.assumed()
                : Abi.of(raw.protocol().get())
                        .orElseThrow(() -> new XenException(
                                Errno.EINVAL,
                                frontend + ": protocol is "
                                        + printable(raw.protocol().get()) + ", known are x86_32-abi, x86_64-abi, "
                                        + Abi.NATIVE.wireName()));
        return new BlkifParameters(gref, port, abi);
    }

    private static Optional<String> readQuietly(xenback.xen.store.StoreAccess access, StorePath path) {
        try {
            return access.read(path);
        } catch (StoreException e) {
            return Optional.empty();
        }
    }

    private static long number(StorePath frontend, String key, Optional<String> text, long least, long limit)
            throws XenException {
        String value = text.orElse("");
        long number = value.isEmpty() || value.length() > 10 ? -1 : 0;
        for (int i = 0; number >= 0 && i < value.length(); i++) {
            int digit = value.charAt(i) - '0';
            number = digit < 0 || digit > 9 ? -1 : number * 10 + digit;
        }
        if (number < least || number > limit) {
            throw new XenException(
                    Errno.EINVAL,
                    frontend + ": " + key
                            + (text.isEmpty() ? " is missing" : " is no number in range: " + printable(value)));
        }
        return number;
    }

    /** A guest's text for a log line: short, and without control characters. */
    private static String printable(String text) {
        String shown = text.length() > 40 ? text.substring(0, 40) + "..." : text;
        return "'" + shown.replaceAll("[^ -~]", "?") + "'";
    }
}
