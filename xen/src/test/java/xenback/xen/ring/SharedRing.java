package xenback.xen.ring;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Both ends of one ring whose counters all stand at {@code start}, and the pages between them as a third party sees them. */
final class SharedRing {
    static final int SLOT_BYTES = 112;

    final SharedMemory memory;
    final FrontRing front;
    final BackRing back;
    private final MemorySegment slot;

    SharedRing(Arena arena, int pages, int start) {
        memory = new SharedMemory(arena.allocate((long) pages * RingLayout.PAGE_BYTES, RingLayout.PAGE_BYTES));
        slot = arena.allocate(SLOT_BYTES, 8);
        memory.setIntRelease(RingLayout.REQ_PROD, start);
        memory.setIntRelease(RingLayout.REQ_EVENT, start + 1);
        memory.setIntRelease(RingLayout.RSP_PROD, start);
        memory.setIntRelease(RingLayout.RSP_EVENT, start + 1);
        front = new FrontRing(memory, SLOT_BYTES, start);
        back = new BackRing(memory, SLOT_BYTES, start, start);
    }

    void putRequest(long id) {
        slot.set(ValueLayout.JAVA_LONG, 0, id);
        slot.set(ValueLayout.JAVA_LONG, SLOT_BYTES - 8, ~id);
        front.putRequest(slot, SLOT_BYTES);
    }

    /** The next request's id, -1 at the end of the sweep, -2 if the slot is not as it was written. */
    long takeRequest() {
        if (!back.takeRequest(slot)) {
            return -1;
        }
        long id = slot.get(ValueLayout.JAVA_LONG, 0);
        return slot.get(ValueLayout.JAVA_LONG, SLOT_BYTES - 8) == ~id ? id : -2;
    }

    void putResponse(long id) {
        slot.set(ValueLayout.JAVA_LONG, 0, id);
        back.putResponse(slot, 16);
    }

    /** The next response's id, -1 at the end of the sweep. */
    long takeResponse() {
        return front.takeResponse(slot, 16) ? slot.get(ValueLayout.JAVA_LONG, 0) : -1;
    }
}
