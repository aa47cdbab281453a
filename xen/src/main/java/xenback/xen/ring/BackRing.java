package xenback.xen.ring;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;

/**
 * The backend's end of a shared ring: takes requests, gives responses. One thread. The other end is hostile: whatever it
 * writes into the pages, no call here throws, loops without end or touches memory outside of the ring.
 *
 * <p>Use per sweep: {@link #beginSweep}, then {@link #takeRequest} while it answers true or {@link #takeRequests}, and at the
 * end {@link #rearm}. Responses: {@link #putResponse} or {@link #putResponses} any number of times, then {@link #push} once.
 */
public final class BackRing {
    private final SharedMemory memory;
    private final int slotBytes;
    private final int slots;

    private int reqCons;
    private int rspProdPrivate;

    /** {@code reqProd} as read at the start of the sweep. */
    private int sweepEnd;

    /** {@code rspProd} as last published. */
    private int rspProdPublished;

    /**
     * Attaches to a ring whose indices the frontend has set to zero.
     *
     * @param pages the ring's pages, mapped side by side; they outlive this object's use
     * @param slotBytes bytes of a slot, the larger of request and response
     */
    public BackRing(MemorySegment pages, int slotBytes) {
        this(new SharedMemory(pages), slotBytes, 0, 0);
    }

    /**
     * Attaches to a ring that has been in use, as after a restart of the backend.
     *
     * @param reqCons requests taken so far
     * @param rspProd responses given so far
     */
    public static BackRing resume(MemorySegment pages, int slotBytes, int reqCons, int rspProd) {
        return new BackRing(new SharedMemory(pages), slotBytes, reqCons, rspProd);
    }

    /**
     * Attaches to a ring on which the frontend may have put requests long before (net: a restored guest has posted its receive
     * buffers): begins where the shared {@code rspProd} stands. What it claims is judged by {@link #beginSweep}.
     */
    public static BackRing attach(MemorySegment pages, int slotBytes) {
        SharedMemory memory = new SharedMemory(pages);
        int rspProd = memory.intAcquire(RingLayout.RSP_PROD);
        return new BackRing(memory, slotBytes, rspProd, rspProd);
    }

    BackRing(SharedMemory memory, int slotBytes, int reqCons, int rspProd) {
        this.memory = memory;
        this.slotBytes = slotBytes;
        slots = RingLayout.slots((int) (memory.byteSize() / RingLayout.PAGE_BYTES), slotBytes);
        this.reqCons = reqCons;
        sweepEnd = reqCons;
        rspProdPrivate = rspProd;
        rspProdPublished = rspProd;
    }

    /** Slots of this ring, a power of two. */
    public int slots() {
        return slots;
    }

    /** Requests taken and not answered by {@link #putResponse} yet. */
    public int unanswered() {
        return reqCons - rspProdPrivate;
    }

    /**
     * Reads how far the frontend has produced, once.
     *
     * @return false if it claims more requests than the ring holds (io/ring.h, RING_REQUEST_PROD_OVERFLOW): the ring is
     *     broken and must not be used until the frontend connects anew
     */
    public boolean beginSweep() {
        int reqProd = memory.intAcquire(RingLayout.REQ_PROD);
        int claimed = reqProd - rspProdPrivate;
        if (Integer.compareUnsigned(claimed, slots) > 0 || claimed < unanswered()) {
            return false; // too many, or fewer than we have already seen
        }
        sweepEnd = reqProd;
        return true;
    }

    /** Requests of the sweep that were not taken yet. */
    public int untaken() {
        return sweepEnd - reqCons;
    }

    /** How many requests were taken so far; free-running, so that its low bits tell the slot of the next one. */
    public int taken() {
        return reqCons;
    }

    /**
     * Takes the next request of the sweep by copying its slot, each byte once.
     *
     * @param copy gets {@code slotBytes} bytes at 0
     * @return false when the sweep is at its end
     */
    public boolean takeRequest(MemorySegment copy) {
        if (reqCons == sweepEnd) {
            return false;
        }
        memory.copyOut(slotAt(reqCons), copy, 0, slotBytes);
        reqCons++;
        return true;
    }

    /**
     * Takes all requests of the sweep by copying their slots, each byte once, at most two pieces of memory.
     *
     * @param mirror as many slots as the ring has; gets each at the place that it has in the ring
     */
    public void takeRequests(MemorySegment mirror) {
        while (reqCons != sweepEnd) {
            int count = Math.min(sweepEnd - reqCons, slotsToTheEnd(reqCons));
            memory.copyOut(slotAt(reqCons), mirror, mirrored(reqCons), count * slotBytes);
            reqCons += count;
        }
    }

    /**
     * Takes the next request of the sweep where slots have eight bytes; there must be one.
     *
     * @return the slot, its first byte lowest, read at once
     */
    public long takeWord() {
        return memory.word(slotAt(reqCons++));
    }

    /**
     * Asks to be woken for the next request after those of this sweep, taken or not, and looks once more.
     *
     * @return true if a request came meanwhile: sweep again, for no event may come for it
     */
    public boolean rearm() {
        memory.setIntRelease(RingLayout.REQ_EVENT, sweepEnd + 1);
        // The frontend writes reqProd and then reads reqEvent; we the other way round. Without a full fence on both
        // sides
        // each could miss the other's write, and the request would lie there until the next one.
        VarHandle.fullFence();
        return memory.intAcquire(RingLayout.REQ_PROD) != sweepEnd;
    }

    /** Writes a response into the next slot, not visible to the frontend before {@link #push}. */
    public void putResponse(MemorySegment response, int bytes) {
        memory.copyIn(response, 0, slotAt(rspProdPrivate), bytes);
        rspProdPrivate++;
    }

    /** Responses written so far, pushed or not; free-running, so that its low bits tell the slot of the next one. */
    public int answered() {
        return rspProdPrivate;
    }

    /**
     * Writes the next responses, not visible to the frontend before {@link #push}.
     *
     * @param mirror as many slots as the ring has, with the responses at the places that they get in the ring
     */
    public void putResponses(MemorySegment mirror, int count) {
        for (int left = count; left > 0; ) {
            int piece = Math.min(left, slotsToTheEnd(rspProdPrivate));
            memory.copyIn(mirror, mirrored(rspProdPrivate), slotAt(rspProdPrivate), piece * slotBytes);
            rspProdPrivate += piece;
            left -= piece;
        }
    }

    /**
     * Makes the responses visible.
     *
     * @return true if the frontend asked to be notified for one of them
     */
    public boolean push() {
        int old = rspProdPublished;
        if (old == rspProdPrivate) {
            return false;
        }
        rspProdPublished = rspProdPrivate;
        memory.setIntRelease(RingLayout.RSP_PROD, rspProdPrivate); // after the responses themselves
        VarHandle.fullFence(); // the mirror image of rearm: publish, then look whether anybody waits
        int rspEvent = memory.intAcquire(RingLayout.RSP_EVENT);
        return Integer.compareUnsigned(rspProdPrivate - rspEvent, rspProdPrivate - old) < 0;
    }

    /** The counters in words, for a person. */
    @Override
    public String toString() {
        return "ring of " + slots + ": reqProd " + Integer.toUnsignedString(memory.intAcquire(RingLayout.REQ_PROD))
                + " reqCons " + Integer.toUnsignedString(reqCons)
                + " reqEvent " + Integer.toUnsignedString(memory.intAcquire(RingLayout.REQ_EVENT))
                + " rspProd " + Integer.toUnsignedString(rspProdPublished)
                + " rspEvent " + Integer.toUnsignedString(memory.intAcquire(RingLayout.RSP_EVENT))
                + " unanswered " + unanswered();
    }

    private long slotAt(int index) {
        return RingLayout.SLOTS + mirrored(index);
    }

    private long mirrored(int index) {
        return (long) (index & slots - 1) * slotBytes;
    }

    private int slotsToTheEnd(int index) {
        return slots - (index & slots - 1);
    }
}
