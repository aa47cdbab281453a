package xenback.stress;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import xenback.xen.ring.BackRing;
import xenback.xen.ring.FrontRing;

/**
 * Both ends of a ring of one page, with slots as large as those of blkif (x86_64), so that a slot is more than a cache line.
 * It lies in the heap, because jcstress makes millions of them; loads and stores are the same machine instructions there.
 *
 * <p>The front is one thread's and the back another's. A slot that carries {@code n} is full of {@code n}.
 */
final class Ring {
    static final int SLOTS = 32;

    /** What a torn slot reads as: it is not full of one number. */
    static final int TORN = -1;

    /** There was nothing to take. */
    static final int NONE = 0;

    private static final int SLOT_BYTES = 112;
    private static final int SLOT_LONGS = SLOT_BYTES / Long.BYTES;

    final FrontRing front;
    final BackRing back;
    private final MemorySegment frontSlot = MemorySegment.ofArray(new long[SLOT_LONGS]);
    private final MemorySegment backSlot = MemorySegment.ofArray(new long[SLOT_LONGS]);

    Ring() {
        MemorySegment page = MemorySegment.ofArray(new long[512]);
        front = new FrontRing(page, SLOT_BYTES);
        back = new BackRing(page, SLOT_BYTES);
    }

    void putRequest(int number) {
        fill(frontSlot, number);
        front.putRequest(frontSlot, SLOT_BYTES);
    }

    void putResponse(int number) {
        fill(backSlot, number);
        back.putResponse(backSlot, SLOT_BYTES);
    }

    /** Looks at the ring once and takes one request. */
    int takeRequest() {
        return back.beginSweep() && back.takeRequest(backSlot) ? number(backSlot) : NONE;
    }

    /** Looks at the ring once and takes one response. */
    int takeResponse() {
        return front.beginSweep() && front.takeResponse(frontSlot, SLOT_BYTES) ? number(frontSlot) : NONE;
    }

    /** A request and its response go through, so that nobody waits for an event any more. */
    void passOne(int number) {
        putRequest(number);
        front.push();
        takeRequest();
        putResponse(number);
        back.push();
        takeResponse();
    }

    private static void fill(MemorySegment slot, int number) {
        for (int at = 0; at < SLOT_BYTES; at += Integer.BYTES) {
            slot.set(ValueLayout.JAVA_INT, at, number);
        }
    }

    private static int number(MemorySegment slot) {
        int first = slot.get(ValueLayout.JAVA_INT, 0);
        for (int at = Integer.BYTES; at < SLOT_BYTES; at += Integer.BYTES) {
            if (slot.get(ValueLayout.JAVA_INT, at) != first) {
                return TORN;
            }
        }
        return first;
    }
}
