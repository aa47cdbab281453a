package xenback.net.frontend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import xenback.net.link.LinkQueue;
import xenback.net.link.VnetHeader;
import xenback.net.packet.Checksums;
import xenback.net.packet.FrameHeaders;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.XenException;
import xenback.xen.bus.FrontendDriver;
import xenback.xen.embedded.Domain;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.Granter;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.ring.FrontRing;

/**
 * The guest's end of one pair of rings. Frames of the guest's link are read into granted pages and their requests put on the
 * transmit ring; what the backend has written into the pages of the receive ring goes to the link. On its loop's thread, but
 * for {@link #open} and {@link #close}.
 */
final class XnQueue {
    private static final int PAGE_BYTES = 4096;

    /** Pages of a place for a frame to send: one for the header in front of it, and those of the largest frame. */
    private static final int PLACE_PAGES = 1 + 65536 / PAGE_BYTES;

    private static final int PLACES = 64;

    private static final int CHECKSUM_OF_TCP = 16;
    private static final int CHECKSUM_OF_UDP = 6;

    /** How many pages of its domain a queue takes. */
    static final int GUEST_PAGES = 2 + PLACES * PLACE_PAGES + Netif.SLOTS;

    private final String name;
    private final Domain guest;
    private final int backendDomid;
    private final EventLoop loop;
    private final LinkQueue link;
    private final Arena arena = Arena.ofShared();
    private final Granter.Pages ringPages;
    private final int[] ringGrefs;
    private final Granter.Pages txPages;
    private final int[] txGrefs;
    private final Granter.Pages rxPages;
    private final int[] rxGrefs;
    private final EventChannels events;
    private final int txPort;
    private final int rxPort;
    private final Sends sends;
    private final FrontRing txRing;
    private final FrontRing rxRing;
    private final MemorySegment slot = arena.allocate(Netif.TX_SLOT_BYTES, 8);
    private final MemorySegment frame = arena.allocate(VnetHeader.BYTES + 65536 + PAGE_BYTES, 64);
    private final FrameHeaders headers = new FrameHeaders();
    private final int[] pendingPorts = new int[4];

    // Places that no request uses, and which place each slot of a frame belongs to.
    private final int[] freePlaces = new int[PLACES];
    private int freePlaceCount;
    private final int[] unanswered = new int[PLACES];

    // The frame that is being received.
    private int received;
    private int receivedFlags;
    private int gsoSize;
    private int gsoType;
    private boolean extraNext;
    private boolean receivedBad;
    private boolean moreNext;

    private boolean masked;
    private boolean linkEmpty = true;
    private boolean listening;
    private boolean ended;
    private Runnable onIdle = () -> {};
    private final Completion onReadable = this::onReadable;
    private final EventLoop.TurnEnd turnEnd = new EventLoop.TurnEnd() {
        @Override
        protected void endTurn() {
            finishTurn();
        }
    };

    /** What the backend takes. */
    record Sends(boolean scatterGather, boolean blankChecksum4, boolean blankChecksum6) {}

    private XnQueue(
            String name, Domain guest, int backendDomid, EventLoop loop, LinkQueue link, Sends sends, boolean split)
            throws XenException {
        this.name = name;
        this.guest = guest;
        this.backendDomid = backendDomid;
        this.loop = loop;
        this.link = link;
        this.sends = sends;
        ringPages = guest.allocatePages(2);
        ringGrefs = grant(ringPages, 2, false);
        txPages = guest.allocatePages(PLACES * PLACE_PAGES);
        txGrefs = grant(txPages, PLACES * PLACE_PAGES, true);
        rxPages = guest.allocatePages(Netif.SLOTS);
        rxGrefs = grant(rxPages, Netif.SLOTS, false);
        txRing = new FrontRing(ringPages.memory().asSlice(0, PAGE_BYTES), Netif.TX_SLOT_BYTES);
        rxRing = new FrontRing(ringPages.memory().asSlice(PAGE_BYTES, PAGE_BYTES), Netif.RX_SLOT_BYTES);
        events = guest.openEventChannels(backendDomid);
        txPort = events.bindUnbound(backendDomid);
        rxPort = split ? events.bindUnbound(backendDomid) : txPort;
        for (int i = 0; i < PLACES; i++) {
            freePlaces[i] = PLACES - 1 - i;
        }
        freePlaceCount = PLACES;
        for (int i = 0; i < Netif.SLOTS; i++) {
            post(i);
        }
        rxRing.push(); // the backend finds them when it connects
    }

    /** @param split whether each ring has an event channel of its own */
    static XnQueue open(
            String name,
            Domain guest,
            FrontendDriver.Address address,
            EventLoop loop,
            LinkQueue link,
            Sends sends,
            boolean split)
            throws XenException {
        return new XnQueue(name, guest, address.backendDomid(), loop, link, sends, split);
    }

    /** What the backend may keep mapped, page by page: frames to send, which it can only read, and buffers. */
    int[] sendGrefs() {
        return txGrefs.clone();
    }

    int[] receiveGrefs() {
        return rxGrefs.clone();
    }

    private int[] grant(Granter.Pages pages, int count, boolean readOnly) throws XenException {
        int[] grefs = guest.allocateGrefs(count);
        for (int i = 0; i < count; i++) {
            guest.grant(grefs[i], backendDomid, pages.firstFrame() + i, readOnly);
        }
        return grefs;
    }

    EventLoop loop() {
        return loop;
    }

    int txGref() {
        return ringGrefs[0];
    }

    int rxGref() {
        return ringGrefs[1];
    }

    int txPort() {
        return txPort;
    }

    /** The same as {@link #txPort} unless they are split. */
    int rxPort() {
        return rxPort;
    }

    /** Starts to use the device. */
    void begin() {
        events.listen(loop, turnEnd);
        linkEmpty = false;
        loop.atTurnEnd(turnEnd);
    }

    /** Stops using it, and calls {@code whenIdle} when the link is not waited for any more. */
    void end(Runnable whenIdle) {
        ended = true;
        if (listening) {
            onIdle = whenIdle;
            link.stopAwaiting(loop, onReadable, 0);
        } else {
            whenIdle.run();
        }
    }

    /** Gives everything back to the guest. */
    void close() {
        link.close();
        events.close();
        giveBack(ringGrefs, ringPages);
        giveBack(txGrefs, txPages);
        giveBack(rxGrefs, rxPages);
        arena.close();
    }

    private void giveBack(int[] grefs, Granter.Pages pages) {
        boolean free = true;
        for (int gref : grefs) {
            free &= guest.end(gref);
        }
        if (free) { // what the backend still uses must not become somebody else's
            guest.freeGrefs(grefs);
            guest.freePages(pages);
        }
    }

    private void onReadable(int tag, int result) {
        listening = false;
        if (ended) {
            onIdle.run();
            return;
        }
        linkEmpty = false;
        loop.atTurnEnd(turnEnd);
    }

    private void finishTurn() {
        if (ended) {
            return;
        }
        if (events.takePending(pendingPorts) > 0) {
            masked = true;
        }
        boolean more = takeTxResponses();
        more |= takeRxResponses();
        send();
        boolean tx = txRing.push();
        boolean rx = rxRing.push();
        if (tx) {
            events.notifyPort(txPort);
        }
        if (rx && !(tx && rxPort == txPort)) {
            events.notifyPort(rxPort);
        }
        if (more) {
            loop.atNextTurn(turnEnd);
            return;
        }
        if (linkEmpty && !listening) {
            listening = true;
            link.awaitFrame(loop, onReadable, 0);
        }
        if (masked) {
            masked = false;
            events.unmask(txPort);
            if (rxPort != txPort) {
                events.unmask(rxPort);
            }
        }
    }

    private boolean takeTxResponses() {
        if (!txRing.beginSweep()) {
            return false;
        }
        boolean any = false;
        while (txRing.takeResponse(slot, Netif.TX_SLOT_BYTES)) {
            any = true;
            if (NetSlots.txResponseStatus(slot) != Netif.STATUS_NULL) {
                int place = NetSlots.txResponseId(slot) & PLACES - 1;
                if (--unanswered[place] == 0) {
                    freePlaces[freePlaceCount++] = place;
                }
            }
        }
        return any || txRing.rearm();
    }

    /** Sends what the link has, as far as there are slots and places. */
    private void send() {
        while (!linkEmpty && freePlaceCount > 0 && txRing.free() >= PLACE_PAGES + 1) {
            int place = freePlaces[freePlaceCount - 1];
            long at = (long) place * PLACE_PAGES * PAGE_BYTES + PAGE_BYTES - VnetHeader.BYTES;
            int bytes = link.receive(txPages.memory(), at, VnetHeader.BYTES + Netif.MOST_FRAME_BYTES);
            if (bytes < 0) {
                linkEmpty = true;
            } else if (isSendable(at, bytes - VnetHeader.BYTES)) {
                freePlaceCount--;
                put(place, at, bytes - VnetHeader.BYTES);
            }
        }
    }

    /** Finishes what the backend would not. What it cannot take is lost. */
    private boolean isSendable(long headerAt, int length) {
        if (length < Netif.LEAST_FRAME_BYTES || length > PAGE_BYTES && !sends.scatterGather()) {
            return false;
        }
        MemorySegment memory = txPages.memory();
        boolean all = sends.blankChecksum4() && sends.blankChecksum6();
        boolean large = VnetHeader.gsoType(memory, headerAt) != VnetHeader.GSO_NONE; // of a kind whose sums stay blank
        if (all || large || (VnetHeader.flags(memory, headerAt) & VnetHeader.NEEDS_CSUM) == 0) {
            return true;
        }
        long at = headerAt + VnetHeader.BYTES;
        headers.parse(memory, at, length);
        boolean able = headers.ipVersion() == 6 ? sends.blankChecksum6() : sends.blankChecksum4();
        if (!able) {
            Checksums.complete(memory, at, headers);
            VnetHeader.put(memory, headerAt, VnetHeader.DATA_VALID);
        }
        return true;
    }

    private void put(int place, long headerAt, int length) {
        MemorySegment memory = txPages.memory();
        int type = VnetHeader.gsoType(memory, headerAt);
        int gso = type == VnetHeader.GSO_TCPV4 ? Netif.GSO_TCPV4 : type == VnetHeader.GSO_TCPV6 ? Netif.GSO_TCPV6 : 0;
        int vnetFlags = VnetHeader.flags(memory, headerAt);
        int flags = (vnetFlags & VnetHeader.NEEDS_CSUM) != 0
                ? Netif.TX_CSUM_BLANK | Netif.TX_DATA_VALIDATED
                : (vnetFlags & VnetHeader.DATA_VALID) != 0 ? Netif.TX_DATA_VALIDATED : 0;
        int slots = (length + PAGE_BYTES - 1) / PAGE_BYTES;
        unanswered[place] = slots;
        int firstPage = place * PLACE_PAGES + 1;
        for (int i = 0; i < slots; i++) {
            int bytes = Math.min(PAGE_BYTES, length - i * PAGE_BYTES);
            int more = i + 1 < slots ? Netif.TX_MORE_DATA : 0;
            int own = i == 0 ? flags | (gso != 0 ? Netif.TX_EXTRA_INFO : 0) : 0;
            NetSlots.putTxRequest(slot, txGrefs[firstPage + i], 0, own | more, place, i == 0 ? length : bytes);
            txRing.putRequest(slot, Netif.TX_SLOT_BYTES);
            if (i == 0 && gso != 0) {
                NetSlots.putGso(slot, VnetHeader.gsoSize(memory, headerAt), gso, false);
                txRing.putRequest(slot, Netif.TX_SLOT_BYTES);
            }
        }
    }

    private boolean takeRxResponses() {
        if (!rxRing.beginSweep()) {
            return false;
        }
        boolean any = false;
        int position = rxRing.consumed();
        while (rxRing.takeResponse(slot, Netif.RX_SLOT_BYTES)) {
            any = true;
            take(position & Netif.SLOTS - 1);
            post(position & Netif.SLOTS - 1);
            position++;
        }
        return any || rxRing.rearm();
    }

    /** Takes one slot's part of a frame; the page is that of the same position, whatever the backend says. */
    private void take(int page) {
        if (extraNext) {
            extraNext = NetSlots.extraMore(slot);
            if (NetSlots.extraType(slot) == Netif.EXTRA_GSO) {
                gsoSize = NetSlots.gsoSize(slot);
                gsoType = NetSlots.gsoType(slot);
            }
        } else {
            int flags = NetSlots.rxResponseFlags(slot);
            int offset = NetSlots.rxResponseOffset(slot);
            int bytes = NetSlots.rxResponseStatus(slot);
            if (received == 0) {
                receivedFlags = flags;
                gsoType = 0;
                gsoSize = 0;
            }
            if (bytes < 0 || offset + bytes > PAGE_BYTES || received + bytes > Netif.MOST_FRAME_BYTES) {
                receivedBad = true;
            } else {
                long from = (long) page * PAGE_BYTES + offset;
                MemorySegment.copy(rxPages.memory(), from, frame, VnetHeader.BYTES + (long) received, bytes);
                received += bytes;
            }
            moreNext = (flags & Netif.RX_MORE_DATA) != 0;
            extraNext = (flags & Netif.RX_EXTRA_INFO) != 0;
        }
        if (!moreNext && !extraNext) {
            deliver();
        }
    }

    private void deliver() {
        if (!receivedBad && received >= Netif.LEAST_FRAME_BYTES) {
            describe();
            link.send(frame, 0, VnetHeader.BYTES + received);
        }
        received = 0;
        receivedBad = false;
    }

    private void describe() {
        boolean blank = (receivedFlags & Netif.RX_CSUM_BLANK) != 0;
        if (!blank) {
            VnetHeader.put(frame, 0, (receivedFlags & Netif.RX_DATA_VALIDATED) != 0 ? VnetHeader.DATA_VALID : 0);
            return;
        }
        headers.parse(frame, VnetHeader.BYTES, received);
        if (!Checksums.preparePartial(frame, VnetHeader.BYTES, headers)) {
            VnetHeader.put(frame, 0, 0);
            return;
        }
        int type = gsoType == Netif.GSO_TCPV4
                ? VnetHeader.GSO_TCPV4
                : gsoType == Netif.GSO_TCPV6 ? VnetHeader.GSO_TCPV6 : VnetHeader.GSO_NONE;
        boolean ecn = type != 0 && (headers.tcpFlags() & FrameHeaders.TCP_CWR) != 0;
        VnetHeader.put(
                frame,
                0,
                VnetHeader.NEEDS_CSUM,
                type | (ecn ? VnetHeader.GSO_ECN : 0),
                type == 0 ? 0 : headers.headerBytes(),
                gsoSize,
                headers.l4Offset(),
                headers.l4() == FrameHeaders.L4.TCP ? CHECKSUM_OF_TCP : CHECKSUM_OF_UDP);
    }

    private void post(int page) {
        NetSlots.putRxRequest(slot, page, rxGrefs[page]);
        rxRing.putRequest(slot, Netif.RX_SLOT_BYTES);
    }

    @Override
    public String toString() {
        return name + ": tx " + txRing + ", rx " + rxRing;
    }
}
