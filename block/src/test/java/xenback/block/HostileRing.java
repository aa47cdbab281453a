package xenback.block;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import xenback.block.protocol.Abi;
import xenback.block.protocol.BlkifRequest;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.Granter;

/**
 * A guest's ring, port and payload pages in the hands of an attacker: it can be as honest as xbd, request by request, and it
 * can write any bytes into any slot and any number into any counter, at any time. One thread, unless a test wants a race.
 */
public class HostileRing implements AutoCloseable {
    /** Pages for payload, each with its gref at the same index. */
    public static final int PAYLOAD_PAGES = 32;

    private static final long REQ_PROD = 0;
    private static final long REQ_EVENT = 4;
    private static final long RSP_PROD = 8;
    private static final long RSP_EVENT = 12;
    private static final long SLOTS_AT = 64;

    /** Slots of a ring of one page, in every ABI. */
    public static final int SLOTS = 32;

    final Domain guest;
    final int vdev;
    final Abi abi;
    private final MemorySegment slotBytes = Arena.ofAuto().allocate(112, 8);

    // Of one connection; made anew by prepare.
    private EventChannels events;
    private int port;
    private int[] grefs = {};
    private Granter.Pages pages;
    private int reqProd;

    public HostileRing(Domain guest, int vdev, Abi abi) {
        this.guest = guest;
        this.vdev = vdev;
        this.abi = abi;
    }

    /** Makes a ring, a port and payload pages, and grants them all. Nothing is published. */
    public void prepare() throws XenException {
        events = guest.openEventChannels(0);
        port = events.bindUnbound(0);
        pages = guest.allocatePages(1 + PAYLOAD_PAGES);
        grefs = guest.allocateGrefs(1 + PAYLOAD_PAGES);
        for (int i = 0; i < grefs.length; i++) {
            guest.grant(grefs[i], 0, pages.firstFrame() + i, false);
        }
        reqProd = 0;
        ring().set(ValueLayout.JAVA_INT, REQ_EVENT, 1);
        ring().set(ValueLayout.JAVA_INT, RSP_EVENT, 1);
    }

    /** Ends every grant; fails if the backend still uses one. */
    public void takeBack() {
        if (grefs.length == 0) {
            return;
        }
        for (int gref : grefs) {
            if (!guest.end(gref)) {
                throw new AssertionError("grant " + gref + " is still in use");
            }
        }
        guest.freeGrefs(grefs);
        guest.freePages(pages);
        grefs = new int[0];
        events.close();
    }

    /** The guest's end of the event channel, for the backend to bind to. */
    public int port() {
        return port;
    }

    public int gref(int payloadPage) {
        return grefs[1 + payloadPage];
    }

    /** Of the ring itself: a guest can name it as payload. */
    public int ringGref() {
        return grefs[0];
    }

    public MemorySegment page(int payloadPage) {
        return pages.memory().asSlice(4096L * (1 + payloadPage), 4096);
    }

    /** Payload pages side by side. */
    public MemorySegment pages(int first, int count) {
        return pages.memory().asSlice(4096L * (1 + first), 4096L * count);
    }

    /** Grants a payload page anew with other rights. */
    public void grant(int payloadPage, int domid, boolean readOnly) {
        guest.grant(gref(payloadPage), domid, pages.firstFrame() + 1 + payloadPage, readOnly);
    }

    public MemorySegment ring() {
        return pages.memory().asSlice(0, 4096);
    }

    /** A slot by its masked index. */
    public MemorySegment slot(int index) {
        int bytes = abi.layout().requestBytes();
        return ring().asSlice(SLOTS_AT + (long) (index & SLOTS - 1) * bytes, bytes);
    }

    /** Sets the producer counter to anything at all, and wakes the backend. */
    public void claim(int reqProd) {
        this.reqProd = reqProd;
        ring().set(ValueLayout.JAVA_INT, REQ_PROD, reqProd);
        events.notifyPort(port);
    }

    public int reqProd() {
        return reqProd;
    }

    public int rspProd() {
        return ring().get(ValueLayout.JAVA_INT, RSP_PROD);
    }

    public void notifyBackend() {
        events.notifyPort(port);
    }

    /** A request of one whole page. */
    public BlkifRequest request(int operation, long sector) {
        BlkifRequest request = new BlkifRequest();
        request.compose(operation, 0x6D00_0000_0000_0000L | reqProd, sector);
        request.addSegment(gref(0), 0, 7);
        return request;
    }

    /** Puts a request into the next slot and publishes it, whether there is room or not. */
    public void send(BlkifRequest request) {
        request.encode(slotBytes, abi.layout(), vdev);
        send(slotBytes);
    }

    /**
     * Puts a request into the next slot, and sends an event only if the backend asked for one, as an honest frontend does
     * (io/ring.h, RING_PUSH_REQUESTS_AND_CHECK_NOTIFY). Returns whether it did.
     */
    public boolean sendAsAgreed(BlkifRequest request) {
        request.encode(slotBytes, abi.layout(), vdev);
        return publishAsAgreed();
    }

    /** The same for an indirect request, whose descriptors go into a payload page. */
    public boolean sendAsAgreed(BlkifRequest request, int descriptorPage) {
        int[] descriptorGrefs = {gref(descriptorPage)};
        request.encodeIndirect(slotBytes, abi.layout(), vdev, page(descriptorPage), 0, descriptorGrefs, 0);
        return publishAsAgreed();
    }

    private boolean publishAsAgreed() {
        slot(reqProd).copyFrom(slotBytes.asSlice(0, abi.layout().requestBytes()));
        reqProd++;
        ring().set(ValueLayout.JAVA_INT, REQ_PROD, reqProd);
        VarHandle.fullFence(); // the counter is seen before the backend's wish is read
        boolean wanted = reqEvent() == reqProd;
        if (wanted) {
            notifyBackend();
        }
        return wanted;
    }

    /** The request for which the backend wants an event. */
    public int reqEvent() {
        return ring().get(ValueLayout.JAVA_INT, REQ_EVENT);
    }

    /** Puts several requests into the next slots and publishes them at once. */
    public void sendTogether(BlkifRequest... requests) {
        for (int i = 0; i < requests.length; i++) {
            requests[i].encode(slotBytes, abi.layout(), vdev);
            slot(reqProd + i).copyFrom(slotBytes.asSlice(0, abi.layout().requestBytes()));
        }
        claim(reqProd + requests.length);
    }

    /** The same with any bytes. */
    public void sendTogether(MemorySegment... slots) {
        for (int i = 0; i < slots.length; i++) {
            slot(reqProd + i).copyFrom(slots[i].asSlice(0, abi.layout().requestBytes()));
        }
        claim(reqProd + slots.length);
    }

    /** The same with any bytes. */
    public void send(MemorySegment bytes) {
        slot(reqProd).copyFrom(bytes.asSlice(0, abi.layout().requestBytes()));
        claim(reqProd + 1);
    }

    /** Sends a request and waits for its answer, which must be the only one outstanding. */
    public short ask(BlkifRequest request) throws Exception {
        send(request);
        return answer(request);
    }

    public short answer(BlkifRequest request) throws Exception {
        awaitAnswers();
        MemorySegment response = slot(reqProd - 1);
        long id = response.get(ValueLayout.JAVA_LONG_UNALIGNED, 0);
        if (id != request.id()) {
            throw new AssertionError("answered id " + Long.toHexString(id) + " for " + Long.toHexString(request.id()));
        }
        int operation = Byte.toUnsignedInt(response.get(ValueLayout.JAVA_BYTE, 8));
        boolean clean = response.get(ValueLayout.JAVA_BYTE, 9) == 0
                && (abi.layout().responseBytes() == 12 || response.get(ValueLayout.JAVA_INT_UNALIGNED, 12) == 0);
        if (operation != request.operation() || !clean) {
            throw new AssertionError("operation " + operation + ", padding clean: " + clean);
        }
        return response.get(ValueLayout.JAVA_SHORT_UNALIGNED, 10);
    }

    /** Waits until every request is answered. */
    public void awaitAnswers() throws Exception {
        Await.until(() -> rspProd() == reqProd, () -> "answers up to " + reqProd + ", there are " + rspProd());
    }

    @Override
    public void close() {
        if (events != null) {
            events.close();
        }
    }
}
