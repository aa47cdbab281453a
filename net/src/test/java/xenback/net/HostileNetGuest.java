package xenback.net;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import xenback.net.backend.NetCounters;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetControl.Answer;
import xenback.net.protocol.NetControl.Message;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.XenException;
import xenback.xen.bus.XenbusState;
import xenback.xen.embedded.Domain;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.Granter;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * A frontend in the hands of an attacker: it can be honest, slot by slot, and it can write any bytes into any slot, any number
 * into any counter and any text into any node of its own, at any time. One queue, one thread.
 */
final class HostileNetGuest implements AutoCloseable {
    /** Pages for payload, each with its gref at the same index: the first half to send, the other to receive. */
    static final int PAGES = 600;

    private static final int RX_PAGE = 300;
    private static final int RINGS = 3;

    /** The rings' numbers, for {@link #reqEvent} and its like. */
    static final int TX = 0;

    static final int RX = 1;
    static final int CONTROL = 2;
    private static final VarHandle INT = ValueLayout.JAVA_INT.varHandle();
    private static final long REQ_PROD = 0;
    private static final long REQ_EVENT = 4;
    private static final long RSP_PROD = 8;
    private static final long RSP_EVENT = 12;
    private static final long SLOTS_AT = 64;

    /** A slot of the transmit ring: a page's number and what is said of it. */
    record Slot(int page, int offset, int flags, int size) {}

    /** What came for one receive request. */
    record Received(int id, int offset, int flags, int status) {}

    private final NetMachine machine;
    private final Domain guest;
    private final StorePath frontend;
    private final StorePath backend;
    private final MemorySegment slotBytes = Arena.ofAuto().allocate(16, 8);
    private final Map<String, String> nodes = new LinkedHashMap<>();

    // Of one connection; made anew by prepare.
    private EventChannels events;
    private int port;
    private int rxPort;
    private int controlPort;
    private int[] grefs = {};
    private Granter.Pages pages;
    private int txProd;
    private int rxProd;
    private int rxSeen;
    private int controlProd;

    HostileNetGuest(NetMachine machine, Domain guest, String... backendNodes) throws XenException {
        this.machine = machine;
        this.guest = guest;
        frontend = machine.toolstack.attach(NetMachine.vif(guest.domid(), backendNodes));
        backend = StorePath.of("/local/domain/0/backend/vif/" + guest.domid() + "/0");
        for (String key : List.of(
                "request-rx-copy", "feature-rx-notify", "feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6")) {
            nodes.put(key, "1");
        }
        nodes.put("feature-ipv6-csum-offload", "1");
    }

    /** What it will write about itself; null for nothing. */
    HostileNetGuest with(String key, String value) {
        if (value == null) {
            nodes.remove(key);
        } else {
            nodes.put(key, value);
        }
        return this;
    }

    /** Makes rings, ports and payload pages, and grants them all. Nothing is published. */
    void prepare() throws XenException {
        events = guest.openEventChannels(0);
        port = events.bindUnbound(0);
        rxPort = events.bindUnbound(0);
        controlPort = events.bindUnbound(0);
        pages = guest.allocatePages(RINGS + PAGES);
        grefs = guest.allocateGrefs(RINGS + PAGES);
        for (int i = 0; i < grefs.length; i++) {
            guest.grant(grefs[i], 0, pages.firstFrame() + i, false);
        }
        txProd = 0;
        rxProd = 0;
        rxSeen = 0;
        controlProd = 0;
        for (int i = 0; i < RINGS; i++) {
            ring(i).set(ValueLayout.JAVA_INT, REQ_EVENT, 1);
            ring(i).set(ValueLayout.JAVA_INT, RSP_EVENT, 1);
        }
    }

    /** Writes what an honest frontend writes, without a state. */
    void publish() throws XenException {
        write("tx-ring-ref", Integer.toUnsignedString(grefs[0]));
        write("rx-ring-ref", Integer.toUnsignedString(grefs[1]));
        if (nodes.containsKey("split")) {
            write("event-channel-tx", Integer.toString(port));
            write("event-channel-rx", Integer.toString(rxPort));
        } else {
            write("event-channel", Integer.toString(port));
        }
        write("ctrl-ring-ref", Integer.toUnsignedString(grefs[2]));
        write("event-channel-ctrl", Integer.toString(controlPort));
        for (Map.Entry<String, String> node : nodes.entrySet()) {
            write(node.getKey(), node.getValue());
        }
    }

    /** The whole way from the backend's 2 to both ends at 4. */
    HostileNetGuest connect() throws Exception {
        awaitBackend(XenbusState.INIT_WAIT);
        prepare();
        publish();
        state(XenbusState.INITIALISED);
        awaitBackend(XenbusState.CONNECTED);
        state(XenbusState.CONNECTED);
        return this;
    }

    /** Goes back to the beginning as a rebooting guest. */
    void reset() throws Exception {
        state(XenbusState.CLOSED);
        awaitBackend(XenbusState.CLOSED);
        takeBack();
        state(XenbusState.INITIALISING);
        awaitBackend(XenbusState.INIT_WAIT);
    }

    /** Ends every grant; fails if the backend still uses one. */
    void takeBack() {
        for (int gref : grefs) {
            if (!guest.end(gref)) {
                throw new AssertionError("grant " + gref + " is still in use");
            }
        }
        if (grefs.length > 0) {
            guest.freeGrefs(grefs);
            guest.freePages(pages);
            grefs = new int[0];
            events.close();
        }
    }

    void state(XenbusState state) throws XenException {
        write("state", state.text());
    }

    void write(String key, String value) throws XenException {
        StorePath path = frontend;
        for (String part : key.split("/", -1)) {
            path = path.child(part);
        }
        guest.store().write(path, value);
    }

    String read(String key) throws XenException {
        return guest.store().read(frontend.child(key)).orElse("");
    }

    String readBackend(String key) throws XenException {
        return dom0().read(backend.child(key)).orElse("");
    }

    void writeBackend(String key, String value) throws XenException {
        dom0().write(backend.child(key), value);
    }

    XenbusState backendState() throws XenException {
        return XenbusState.parse(readBackend("state"));
    }

    void awaitBackend(XenbusState state) throws Exception {
        Await.until(
                () -> backendState() == state,
                () -> "backend state " + state + ", it is " + backendState() + " with error '" + error() + "'");
    }

    /** What the toolstack would tell its user; empty if nothing went wrong. */
    String error() throws XenException {
        return dom0().read(StorePath.of("/local/domain/0/error/backend/vif/" + guest.domid() + "/0/error"))
                .orElse("");
    }

    NetCounters counters() {
        return machine.counters(guest.domid());
    }

    WireLink link() {
        return machine.link(guest.domid());
    }

    int gref(int page) {
        return grefs[RINGS + page];
    }

    MemorySegment page(int page) {
        return pages.memory().asSlice(4096L * (RINGS + page), 4096);
    }

    MemorySegment ring(int ring) {
        return pages.memory().asSlice(4096L * ring, 4096);
    }

    int ringGref(int ring) {
        return grefs[ring];
    }

    void grant(int page, int domid, boolean readOnly) {
        guest.grant(gref(page), domid, pages.firstFrame() + RINGS + page, readOnly);
    }

    MemorySegment txSlot(int index) {
        return ring(0).asSlice(SLOTS_AT + (long) (index & 255) * Netif.TX_SLOT_BYTES, Netif.TX_SLOT_BYTES);
    }

    MemorySegment rxSlot(int index) {
        return ring(1).asSlice(SLOTS_AT + (long) (index & 255) * Netif.RX_SLOT_BYTES, Netif.RX_SLOT_BYTES);
    }

    int txProd() {
        return txProd;
    }

    int txAnswered() {
        return ring(0).get(ValueLayout.JAVA_INT, RSP_PROD);
    }

    /** Sets the transmit ring's producer to anything at all, and wakes the backend. */
    void claimTx(int prod) {
        txProd = prod;
        ring(0).set(ValueLayout.JAVA_INT, REQ_PROD, prod);
        notifyBackend();
    }

    void claimRx(int prod) {
        rxProd = prod;
        ring(1).set(ValueLayout.JAVA_INT, REQ_PROD, prod);
        events.notifyPort(nodes.containsKey("split") ? rxPort : port);
    }

    /** Up to where the backend has asked for no event, and one more: the transmit, receive or control ring's. */
    int reqEvent(int ring) {
        return (int) INT.getAcquire(ring(ring), REQ_EVENT);
    }

    int reqProd(int ring) {
        return (int) INT.getAcquire(ring(ring), REQ_PROD);
    }

    int answered(int ring) {
        return (int) INT.getAcquire(ring(ring), RSP_PROD);
    }

    /**
     * Publishes requests as netif's honest frontends do, with an event if it was asked for and only then (io/ring.h,
     * RING_PUSH_REQUESTS_AND_CHECK_NOTIFY).
     *
     * @return whether it was
     */
    private boolean publishAsAgreed(int ring, int itsPort, int prod) {
        int before = reqProd(ring);
        INT.setRelease(ring(ring), REQ_PROD, prod);
        VarHandle.fullFence();
        boolean asked = Integer.compareUnsigned(prod - reqEvent(ring), prod - before) < 0;
        if (asked) {
            events.notifyPort(itsPort);
        }
        return asked;
    }

    /** Sends a slot; the backend gets an event if it has asked for one, which is the answer. */
    boolean sendAsAgreed(Slot slot) {
        put(slot);
        return publishAsAgreed(TX, port, txProd);
    }

    /** Posts a buffer in the same way. */
    boolean postAsAgreed() {
        putBuffers(1);
        return publishAsAgreed(RX, nodes.containsKey("split") ? rxPort : port, rxProd);
    }

    /** Sends a control message in the same way. */
    boolean sayAsAgreed(int type) {
        putMessage(type, 0, 0, 0);
        return publishAsAgreed(CONTROL, controlPort, controlProd);
    }

    void notifyBackend() {
        events.notifyPort(port);
    }

    /** Puts a slot into the next place, not published. */
    void put(Slot slot) {
        put(gref(slot.page()), slot);
    }

    void put(int gref, Slot slot) {
        NetSlots.putTxRequest(slotBytes, gref, slot.offset(), slot.flags(), idAt(txProd), slot.size());
        txSlot(txProd++).copyFrom(slotBytes.asSlice(0, Netif.TX_SLOT_BYTES));
    }

    /** The same with the eight bytes of an extra info. */
    void putExtra(int... bytes) {
        MemorySegment slot = txSlot(txProd++);
        for (int i = 0; i < 8; i++) {
            slot.set(ValueLayout.JAVA_BYTE, i, (byte) (i < bytes.length ? bytes[i] : 0));
        }
    }

    void publishTx() {
        claimTx(txProd);
    }

    /** Sends slots as they are and gives back the statuses of their answers. */
    List<Integer> send(Slot... slots) throws Exception {
        int first = txProd;
        for (Slot slot : slots) {
            put(slot);
        }
        publishTx();
        return statuses(first);
    }

    /** Of the request at a place: any number is allowed, and the answer has to name it. */
    private static int idAt(int place) {
        return place * 0x9E37 & 0xFFFF;
    }

    /** The statuses of all slots from one on, when they are answered, each with its request's id. */
    List<Integer> statuses(int first) throws Exception {
        Await.until(
                () -> txAnswered() == txProd,
                () -> "answers up to " + txProd + ", there are " + txAnswered() + ", backend " + backendState() + " "
                        + error());
        List<Integer> statuses = new ArrayList<>();
        for (int i = first; i != txProd; i++) {
            int status = NetSlots.txResponseStatus(txSlot(i));
            int id = status == Netif.STATUS_NULL ? 0 : idAt(i);
            if (Short.toUnsignedInt(NetSlots.txResponseId(txSlot(i))) != id) {
                throw new AssertionError("place " + i + " is answered with another's id");
            }
            statuses.add(status);
        }
        return statuses;
    }

    /** Sends a frame over pages from 0 on, so many bytes on each but the last. */
    List<Integer> sendFrame(byte[] frame, int flags, int bytesOnEach) throws Exception {
        int count = (frame.length + bytesOnEach - 1) / bytesOnEach;
        int first = txProd;
        for (int i = 0; i < count; i++) {
            int bytes = Math.min(bytesOnEach, frame.length - i * bytesOnEach);
            MemorySegment.copy(frame, i * bytesOnEach, page(i), ValueLayout.JAVA_BYTE, 0, bytes);
            int more = i + 1 < count ? Netif.TX_MORE_DATA : 0;
            put(new Slot(i, 0, more | (i == 0 ? flags : 0), i == 0 ? frame.length : bytes));
        }
        publishTx();
        return statuses(first);
    }

    /** An honest frame, as proof that the interface is alive. */
    boolean works() throws Exception {
        int before = link().sent().size();
        boolean okay = sendFrame(new byte[60], 0, 4096).equals(List.of(0));
        return okay && link().sent().size() == before + 1;
    }

    /** Posts buffers, each one page. */
    void post(int count) {
        putBuffers(count);
        claimRx(rxProd);
    }

    private void putBuffers(int count) {
        for (int i = 0; i < count; i++) {
            int page = RX_PAGE + (rxProd & 255);
            NetSlots.putRxRequest(slotBytes, rxProd & 0xFFFF, gref(page));
            rxSlot(rxProd++).copyFrom(slotBytes.asSlice(0, Netif.RX_SLOT_BYTES));
        }
    }

    int rxAnswered() {
        return ring(1).get(ValueLayout.JAVA_INT, RSP_PROD);
    }

    /** Waits for so many answers to buffers and gives them back. */
    List<Received> receive(int count) throws Exception {
        int end = rxSeen + count;
        Await.until(
                () -> rxAnswered() - end >= 0, () -> "answers to buffers up to " + end + ", there are " + rxAnswered());
        List<Received> all = new ArrayList<>();
        for (; rxSeen != end; rxSeen++) {
            MemorySegment slot = rxSlot(rxSeen);
            all.add(new Received(
                    Short.toUnsignedInt(NetSlots.rxRequestId(slot)),
                    NetSlots.rxResponseOffset(slot),
                    NetSlots.rxResponseFlags(slot),
                    NetSlots.rxResponseStatus(slot)));
        }
        return all;
    }

    /** The raw slot of the answer that {@link #receive} gave so many before the last. */
    MemorySegment answer(int beforeLast) {
        return rxSlot(rxSeen - 1 - beforeLast);
    }

    /** The page of the buffer whose answer {@link #receive} gave so many before the last. */
    MemorySegment buffer(int beforeLast) {
        return page(RX_PAGE + (rxSeen - 1 - beforeLast & 255));
    }

    /** Sends a control message and waits for the answer. */
    Answer ask(int type, int a, int b, int c) throws Exception {
        MemorySegment slot = putMessage(type, a, b, c);
        Message message = Message.read(slot);
        claimControl(controlProd);
        Await.until(() -> answered(CONTROL) == controlProd, () -> "an answer to control message " + message);
        Message echo = Message.read(slot);
        if (echo.id() != message.id() || echo.type() != type) {
            throw new AssertionError("answered " + echo + " for " + message);
        }
        return Answer.read(slot);
    }

    /** Sends a control message with an event, asked for or not, and waits for nothing. */
    void say(int type, int a, int b) {
        putMessage(type, a, b, 0);
        claimControl(controlProd);
    }

    private MemorySegment putMessage(int type, int a, int b, int c) {
        MemorySegment slot = ring(CONTROL).asSlice(SLOTS_AT + (long) (controlProd & 127) * NetControl.SLOT_BYTES, 16);
        new Message((short) controlProd++, type, a, b, c).write(slot);
        return slot;
    }

    void claimControl(int prod) {
        controlProd = prod;
        ring(CONTROL).set(ValueLayout.JAVA_INT, REQ_PROD, prod);
        events.notifyPort(controlPort);
    }

    private XenStore dom0() throws XenException {
        return machine.xen.domain0().store();
    }

    @Override
    public void close() {
        if (events != null) {
            events.close();
        }
    }
}
