package xenback.xen.ring;

/**
 * Where things stand in a shared ring (xen io/ring.h), in bytes; the same in every ABI:
 *
 * <pre>
 *   0        4         8        12        16          64
 *   +--------+---------+--------+---------+-----------+--------+--------+----
 *   |reqProd |reqEvent |rspProd |rspEvent | padding   | slot 0 | slot 1 | ...
 *   +--------+---------+--------+---------+-----------+--------+--------+----
 * </pre>
 *
 * The four counters run freely in 32 bits and wrap; a slot is found by masking. A slot holds a request or, later, a
 * response; slots may straddle pages, so the pages are mapped side by side.
 */
public final class RingLayout {
    public static final int PAGE_BYTES = 4096;

    static final long REQ_PROD = 0;
    static final long REQ_EVENT = 4;
    static final long RSP_PROD = 8;
    static final long RSP_EVENT = 12;
    static final long SLOTS = 64;

    private RingLayout() {}

    /** How many slots of {@code slotBytes} a ring of {@code pages} pages has: a power of two, rounded down. */
    public static int slots(int pages, int slotBytes) {
        return Integer.highestOneBit((pages * PAGE_BYTES - (int) SLOTS) / slotBytes);
    }
}
