package xenback.net.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import xenback.net.link.LinkQueue;
import xenback.net.link.VnetHeader;
import xenback.net.packet.FrameHeaders;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantMapping;
import xenback.xen.grant.GrantStatus;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.GrantWindow;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.ring.BackRing;

/**
 * Both paths of the backend between rings that a case writes slot by slot, a guest's pages, and a link that keeps what it gets.
 * The counters of the rings are written here by their offsets (xen io/ring.h), not through our own frontend.
 */
final class SuiteRig implements AutoCloseable {
    /** The domain number of the guest. */
    static final int GUEST = 5;

    private static final int PAGE_BYTES = 4096;
    private static final long DRAIN_NANOS = 10_000_000_000L;
    private static final long REQ_PROD = 0;
    private static final long REQ_EVENT = 4;
    private static final long RSP_PROD = 8;
    private static final long RSP_EVENT = 12;
    private static final long SLOTS = 64;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    /** A grant copy that was asked for. */
    record Copy(GrantCopyBatch.Direction direction, int domid, int gref, int pageOffset, long localAt, int length) {}

    private final Arena arena = Arena.ofShared();
    private final MemorySegment txPage = arena.allocate(PAGE_BYTES, PAGE_BYTES);
    private final MemorySegment rxPage = arena.allocate(PAGE_BYTES, PAGE_BYTES);
    private final Map<Integer, MemorySegment> pages = new HashMap<>();
    private final List<Copy> copies = new ArrayList<>();
    private final List<byte[]> sent = new ArrayList<>();
    private final Deque<byte[]> arriving = new ArrayDeque<>();
    private final BackRing txRing;
    private final BackRing rxRing;
    private final TransmitPath transmit;
    private final ReceivePath receive;
    private boolean broken;
    private int txProduced;
    private int rxProduced;

    SuiteRig(EventLoop loop, int start, NetifParameters.Receives receives) {
        for (MemorySegment page : List.of(txPage, rxPage)) {
            page.set(INT, REQ_PROD, start);
            page.set(INT, REQ_EVENT, start + 1);
            page.set(INT, RSP_PROD, start);
            page.set(INT, RSP_EVENT, start + 1);
        }
        txProduced = start;
        rxProduced = start;
        txRing = BackRing.attach(txPage, Netif.TX_SLOT_BYTES);
        rxRing = BackRing.attach(rxPage, Netif.RX_SLOT_BYTES);
        NetConnection connection = new NetConnection(
                "suite",
                GUEST,
                receives,
                new NetPolicy(),
                true,
                DRAIN_NANOS,
                0,
                loop,
                new NoEvents(),
                1,
                1,
                new Pages(),
                null,
                new Keeper(),
                new Ties());
        NetCounters.Queue counters = new NetCounters.Queue();
        counters.hush();
        transmit = new TransmitPath(connection, txRing, counters, arena, () -> {});
        receive = new ReceivePath(connection, rxRing, counters, arena);
    }

    /** The path to the guest. */
    ReceivePath receive() {
        return receive;
    }

    /** A page that the guest grants under that number; made when it is first asked for. */
    MemorySegment page(int gref) {
        return pages.computeIfAbsent(gref, _ -> arena.allocate(PAGE_BYTES, 8));
    }

    /** Puts a transmit request on the ring, of a page that is granted. */
    void tx(int gref, int offset, int flags, int id, int size) {
        page(gref);
        txUngranted(gref, offset, flags, id, size);
    }

    /** The same, of a page that is not granted. */
    void txUngranted(int gref, int offset, int flags, int id, int size) {
        NetSlots.putTxRequest(txSlot(txProduced++), gref, offset, flags, id, size);
    }

    void txGso(int segmentBytes, int type) {
        NetSlots.putGso(txSlot(txProduced++), segmentBytes, type, false);
    }

    /** Puts an extra info on the ring: its type, flags, and six bytes of value, the first one lowest. */
    void txExtra(int type, int flags, long value) {
        MemorySegment slot = txSlot(txProduced++);
        slot.set(BYTE, 0, (byte) type);
        slot.set(BYTE, 1, (byte) flags);
        for (int i = 0; i < 6; i++) {
            slot.set(BYTE, 2 + i, (byte) (value >>> 8 * i));
        }
    }

    /** Posts a receive buffer, of a page that is granted. */
    void rx(int id, int gref) {
        page(gref);
        rxUngranted(id, gref);
    }

    void rxUngranted(int id, int gref) {
        NetSlots.putRxRequest(rxSlot(rxProduced++), id, gref);
    }

    /** Has the backend look at the transmit ring and answer; false if it gives the interface up. */
    boolean sweepTx() {
        txPage.set(INT, REQ_PROD, txProduced);
        boolean goesOn = transmit.sweep(System.nanoTime()) >= 0;
        txRing.push();
        return goesOn && !broken;
    }

    /** Claims requests that are not there. */
    void claimTx(int produced) {
        txProduced = produced;
    }

    /** A frame comes in by the link, behind a header that says what is left undone, and where, as a kernel says it. */
    void arrive(byte[] frame, int flags, int gsoType, int gsoSize) {
        byte[] whole = new byte[VnetHeader.BYTES + frame.length];
        System.arraycopy(frame, 0, whole, VnetHeader.BYTES, frame.length);
        FrameHeaders headers = new FrameHeaders();
        headers.parse(MemorySegment.ofArray(whole), VnetHeader.BYTES, frame.length);
        boolean blank = (flags & VnetHeader.NEEDS_CSUM) != 0 && headers.checksumOffset() > 0;
        int start = blank ? headers.l4Offset() : 0;
        int field = blank ? headers.checksumOffset() - start : 0;
        VnetHeader.put(MemorySegment.ofArray(whole), 0, flags, gsoType, 0, gsoSize, start, field);
        arriving.add(whole);
    }

    /** Has the backend give the guest what came in; false if it gives the interface up. */
    boolean sweepRx() {
        receive.onLinkReadable();
        return sweepRxAlone();
    }

    /** The same without a word of the link. */
    boolean sweepRxAlone() {
        rxPage.set(INT, REQ_PROD, rxProduced);
        boolean goesOn = receive.sweep(System.nanoTime()) >= 0;
        rxRing.push();
        return goesOn && !broken;
    }

    int txAnswered() {
        return txPage.get(INT, RSP_PROD);
    }

    int rxAnswered() {
        return rxPage.get(INT, RSP_PROD);
    }

    /** The least, of both rings, of requests that have no response yet; negative if there are responses to nothing. */
    int unansweredClaims() {
        return Math.min(txProduced - txAnswered(), rxProduced - rxAnswered());
    }

    int txProduced() {
        return txProduced;
    }

    MemorySegment txSlot(int number) {
        return txPage.asSlice(SLOTS + (long) (number & Netif.SLOTS - 1) * Netif.TX_SLOT_BYTES, Netif.TX_SLOT_BYTES);
    }

    MemorySegment rxSlot(int number) {
        return rxPage.asSlice(SLOTS + (long) (number & Netif.SLOTS - 1) * Netif.RX_SLOT_BYTES, Netif.RX_SLOT_BYTES);
    }

    /** Both rings' headers and slots as they are now. */
    String rings() {
        return HexFormat.of().formatHex(txPage.toArray(BYTE)) + HexFormat.of().formatHex(rxPage.toArray(BYTE));
    }

    List<Copy> copies() {
        return copies;
    }

    /** How many frames went to the link. */
    int sentCount() {
        return sent.size();
    }

    /** A frame that went to the link, behind its header. */
    MemorySegment sentWithHeader(int index) {
        return MemorySegment.ofArray(sent.get(index));
    }

    /** The same without. */
    MemorySegment sent(int index) {
        return sentWithHeader(index).asSlice(VnetHeader.BYTES);
    }

    @Override
    public void close() {
        arena.close();
    }

    /** Keeps whether the ring was given up. */
    private final class Ties implements NetConnection.Ties {
        @Override
        public void broken(String why) {
            broken = true;
        }

        @Override
        public void changed() {}
    }

    /** Copies to and from {@link #pages}; another number is refused. */
    private final class Pages implements GrantTable {
        @Override
        public GrantMapping map(int domid, int[] grefs, boolean writable) throws XenException {
            throw new XenException(Errno.EOPNOTSUPP, "not in the suite");
        }

        @Override
        public GrantWindow openWindow(int domid, int places) throws XenException {
            throw new XenException(Errno.EOPNOTSUPP, "not in the suite");
        }

        @Override
        public MemorySegment allocateLocal(Arena owner, long bytes) {
            return owner.allocate(bytes, GrantCopyBatch.PAGE_BYTES);
        }

        @Override
        public int copy(GrantCopyBatch batch) {
            int refused = 0;
            for (int i = 0; i < batch.count(); i++) {
                copies.add(new Copy(
                        batch.direction(),
                        batch.domid(i),
                        batch.gref(i),
                        batch.pageOffset(i),
                        batch.localOffset(i),
                        batch.length(i)));
                MemorySegment page = pages.get(batch.gref(i));
                if (page == null) {
                    batch.setStatus(i, GrantStatus.BAD_GREF);
                    refused++;
                    continue;
                }
                MemorySegment theirs = page.asSlice(batch.pageOffset(i), batch.length(i));
                MemorySegment ours = batch.local(i).asSlice(batch.localOffset(i), batch.length(i));
                if (batch.direction() == GrantCopyBatch.Direction.FROM_GUEST) {
                    ours.copyFrom(theirs);
                } else {
                    theirs.copyFrom(ours);
                }
                batch.setStatus(i, GrantStatus.OKAY);
            }
            return refused;
        }

        @Override
        public void close() {}
    }

    /** Keeps what it gets, and has what {@link #arrive} brought. */
    private final class Keeper implements LinkQueue {
        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            byte[] next = arriving.poll();
            if (next == null) {
                return -Errno.EAGAIN.number();
            }
            MemorySegment.copy(next, 0, into, BYTE, offset, Math.min(capacity, next.length));
            return next.length;
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            sent.add(from.asSlice(offset, bytes).toArray(BYTE));
            return bytes;
        }

        @Override
        public void awaitFrame(EventLoop loop, Completion done, int tag) {}

        @Override
        public void setOffload(int mask) {}

        @Override
        public void close() {}
    }

    /** Nobody listens. */
    private static final class NoEvents implements EventChannels {
        @Override
        public void listen(EventLoop loop, EventLoop.TurnEnd onEvent) {}

        @Override
        public int bindInterdomain(int remoteDomid, int remotePort) {
            return 1;
        }

        @Override
        public int bindUnbound(int remoteDomid) {
            return 1;
        }

        @Override
        public void unbind(int port) {}

        @Override
        public void notifyPort(int port) {}

        @Override
        public int takePending(int[] ports) {
            return 0;
        }

        @Override
        public void unmask(int port) {}

        @Override
        public void close() {}
    }
}
