package xenback.xen.ring;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;

/**
 * The frontend's end of a shared ring: gives requests, takes responses. One thread. The mirror image of {@link BackRing},
 * and as distrustful of its peer.
 */
public final class FrontRing {
    private final SharedMemory memory;
    private final int slotBytes;
    private final int slots;

    private int reqProdPrivate;
    private int reqProdPublished;
    private int rspCons;
    private int sweepEnd;

    /**
     * Initialises a ring: counters zero, both events one (io/ring.h, SHARED_RING_INIT), slots zero.
     *
     * @param pages the ring's pages side by side, before anybody else sees them
     */
    public FrontRing(MemorySegment pages, int slotBytes) {
        this(initialised(pages), slotBytes, 0);
    }

    FrontRing(SharedMemory memory, int slotBytes, int start) {
        this.memory = memory;
        this.slotBytes = slotBytes;
        slots = RingLayout.slots((int) (memory.byteSize() / RingLayout.PAGE_BYTES), slotBytes);
        reqProdPrivate = start;
        reqProdPublished = start;
        rspCons = start;
        sweepEnd = start;
    }

    public int slots() {
        return slots;
    }

    /** Room for requests: slots that no unanswered request occupies. */
    public int free() {
        return slots - (reqProdPrivate - rspCons);
    }

    /** Writes a request into the next slot, not visible to the backend before {@link #push}. There must be room. */
    public void putRequest(MemorySegment request, int bytes) {
        if (free() <= 0) {
            throw new IllegalStateException("the ring is full");
        }
        memory.copyIn(request, 0, slotAt(reqProdPrivate), bytes);
        reqProdPrivate++;
    }

    /**
     * Makes the requests visible.
     *
     * @return true if the backend asked to be notified for one of them
     */
    public boolean push() {
        int old = reqProdPublished;
        if (old == reqProdPrivate) {
            return false;
        }
        reqProdPublished = reqProdPrivate;
        memory.setIntRelease(RingLayout.REQ_PROD, reqProdPrivate); // after the requests themselves
        VarHandle.fullFence(); // publish, then look whether anybody waits; see BackRing.rearm
        int reqEvent = memory.intAcquire(RingLayout.REQ_EVENT);
        return Integer.compareUnsigned(reqProdPrivate - reqEvent, reqProdPrivate - old) < 0;
    }

    /**
     * Reads how far the backend has produced, once.
     *
     * @return false if it claims responses to requests that were never made: the ring is broken
     */
    public boolean beginSweep() {
        int rspProd = memory.intAcquire(RingLayout.RSP_PROD);
        int claimed = rspProd - rspCons;
        if (claimed < 0 || claimed > reqProdPublished - rspCons) {
            return false;
        }
        sweepEnd = rspProd;
        return true;
    }

    /** Takes the next response of the sweep by copying {@code bytes} bytes of its slot; false at the sweep's end. */
    public boolean takeResponse(MemorySegment copy, int bytes) {
        if (rspCons == sweepEnd) {
            return false;
        }
        memory.copyOut(slotAt(rspCons), copy, 0, bytes);
        rspCons++;
        return true;
    }

    /** How many responses were taken so far; free-running, so that its low bits tell the slot of the next one. */
    public int consumed() {
        return rspCons;
    }

    /** Asks to be woken for the next response and looks once more; true: one came meanwhile, sweep again. */
    public boolean rearm() {
        memory.setIntRelease(RingLayout.RSP_EVENT, rspCons + 1);
        VarHandle.fullFence(); // see BackRing.rearm
        return memory.intAcquire(RingLayout.RSP_PROD) != rspCons;
    }

    @Override
    public String toString() {
        return "ring of " + slots + ": reqProd " + Integer.toUnsignedString(reqProdPublished)
                + " rspProd " + Integer.toUnsignedString(memory.intAcquire(RingLayout.RSP_PROD))
                + " rspCons " + Integer.toUnsignedString(rspCons)
                + " free " + free();
    }

    private static SharedMemory initialised(MemorySegment pages) {
        pages.fill((byte) 0);
        SharedMemory memory = new SharedMemory(pages);
        memory.setIntRelease(RingLayout.REQ_EVENT, 1);
        memory.setIntRelease(RingLayout.RSP_EVENT, 1);
        return memory;
    }

    private long slotAt(int index) {
        return RingLayout.SLOTS + (long) (index & slots - 1) * slotBytes;
    }
}
