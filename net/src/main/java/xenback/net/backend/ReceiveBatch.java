package xenback.net.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import xenback.net.link.VnetHeader;
import xenback.net.packet.Checksums;
import xenback.net.packet.FrameHeaders;
import xenback.net.packet.Segmenter;
import xenback.net.packet.Toeplitz;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantCopyBatch.Direction;
import xenback.xen.grant.GrantStatus;
import xenback.xen.ring.BackRing;

/**
 * Frames laid out over the guest's receive requests: what is left undone of them is done as far as the guest cannot, each page is
 * filled before the next is taken, extra infos take the requests after the first, and responses stay at their requests'
 * places (netif.h). The queue's thread; no allocation but when the guest has set a hash.
 */
final class ReceiveBatch {
    private static final int COPY_ENTRIES = 1024;
    private static final int MOST_RESPONSES = Netif.SLOTS;
    private static final int SEGMENTS_BYTES = 512 * 1024;

    /** A frame that would become more is dropped: nobody sends such a one but to do harm. */
    private static final int MOST_SEGMENTS = 2048;

    /** Of a response without a copy of its own: an extra info, or a page that is mapped. */
    private static final int NO_ENTRY = -1;

    /** A whole slot: what is exact and constant costs little even before the optimising compiler has come to it. */
    private static final VarHandle WORD = ValueLayout.JAVA_LONG.varHandle().withInvokeExactBehavior();

    private final NetConnection connection;
    private final NetifParameters.Receives receives;
    private final BackRing ring;
    private final NetCounters.Queue counters;
    private final MemorySegment extra;
    private final FrameHeaders headers = new FrameHeaders();
    private final GrantCopyBatch copies = new GrantCopyBatch(Direction.TO_GUEST, COPY_ENTRIES);

    // Responses of the batch, at the ring's own places, and the copies of each, in the ring's order.
    private final MemorySegment responses;
    private final int[] entries = new int[MOST_RESPONSES];
    private int responseCount;

    // A large frame that is being cut; its pieces lie one after another until they are copied.
    private final Segmenter segmenter = new Segmenter();
    private final MemorySegment segments;
    private boolean cutting;
    private int pieceBytes;
    private int segmentsUsed;

    // Of the frame that is being laid out.
    private int gsoType;
    private int gsoSize;
    private int headroom;
    private HashSetting hashSetting = HashSetting.NONE;
    private final Toeplitz toeplitz = new Toeplitz();

    ReceiveBatch(NetConnection connection, BackRing ring, NetCounters.Queue counters, Arena arena) {
        this.connection = connection;
        this.ring = ring;
        this.counters = counters;
        receives = connection.receives();
        extra = arena.allocate(Netif.RX_SLOT_BYTES, 8);
        responses = arena.allocate((long) MOST_RESPONSES * Netif.RX_SLOT_BYTES, 8);
        segments = arena.allocate(SEGMENTS_BYTES, 64);
    }

    /** Begins with nothing laid out. */
    void begin() {
        headroom = connection.policy().headroom();
        HashSetting setting = connection.policy().hash();
        if (!setting.equals(hashSetting)) {
            hashSetting = setting;
            toeplitz.setKey(setting.key());
        }
    }

    /** The frame that found no room is gone. */
    void forget() {
        cutting = false;
    }

    /**
     * Lays a frame out that lies behind its header. What cannot be given to this guest is dropped and counted.
     *
     * @return false if the guest has posted too few requests: to be called again with the same frame
     */
    boolean add(MemorySegment memory, long at, int length) {
        int gso = gsoOf(VnetHeader.gsoType(memory, at));
        boolean whole = gso == 0 || (gso == Netif.GSO_TCPV4 ? receives.tso4() : receives.tso6());
        if (!whole) {
            return cut(memory, at + VnetHeader.BYTES, length, VnetHeader.gsoSize(memory, at));
        }
        if (!receives.scatterGather() && length > GrantCopyBatch.PAGE_BYTES - headroom) {
            counters.drop(NetDrop.BAD_LENGTH);
            return true;
        }
        if (!makeRoom(length, gso)) {
            return false;
        }
        int vnetFlags = VnetHeader.flags(memory, at);
        int checksum = (vnetFlags & VnetHeader.DATA_VALID) != 0 ? Netif.RX_DATA_VALIDATED : 0;
        if ((vnetFlags & VnetHeader.NEEDS_CSUM) != 0) {
            checksum = mayLeaveBlank(memory, at, length, gso)
                    ? Netif.RX_CSUM_BLANK | Netif.RX_DATA_VALIDATED // never the one without the other (see docs/net.md)
                    : Netif.RX_DATA_VALIDATED;
        }
        gsoType = gso;
        gsoSize = VnetHeader.gsoSize(memory, at);
        layOut(memory, at + VnetHeader.BYTES, length, checksum);
        return true;
    }

    /** The guest cannot take large frames: it is cut here, checksums done, as far as there is room. */
    private boolean cut(MemorySegment memory, long at, int length, int size) {
        if (!cutting) {
            headers.parse(memory, at, length);
            pieceBytes = headers.headerBytes() + size;
            int count = segmenter.begin(memory, at, length, headers, size);
            boolean fits = receives.scatterGather() || pieceBytes <= GrantCopyBatch.PAGE_BYTES - headroom;
            if (count == 0 || count > MOST_SEGMENTS || !fits) {
                counters.drop(NetDrop.NOT_SEGMENTABLE);
                return true; // what nobody can send on is dropped
            }
            cutting = true;
        }
        gsoType = 0;
        while (makeRoom(pieceBytes, 0)) {
            if (segmentsUsed + pieceBytes > SEGMENTS_BYTES) {
                finish(); // so that the place can be used anew
            }
            int bytes = segmenter.next(segments, segmentsUsed);
            if (bytes == 0) {
                cutting = false;
                return true;
            }
            layOut(segments, segmentsUsed, bytes, Netif.RX_DATA_VALIDATED);
            segmentsUsed += bytes + 7 & -8;
        }
        return false;
    }

    /** True if the guest has posted enough for a frame; if only the batch is full it is finished. */
    private boolean makeRoom(int length, int gso) {
        int extras = (gso != 0 ? 1 : 0) + (headroom > 0 ? 1 : 0) + (hashSetting.hashes() ? 1 : 0);
        int room = GrantCopyBatch.PAGE_BYTES - headroom;
        int needed = (length + room - 1) / room + extras;
        if (ring.untaken() < needed) {
            return false;
        }
        if (MOST_RESPONSES - responseCount < needed || copies.capacity() - copies.count() < needed) {
            finish();
        }
        return true;
    }

    /**
     * Completes the checksum if the guest cannot; true if it stays blank. Linux' netfront resolves those of TCP and UDP in
     * plain IP packets alone, so that those behind VLAN tags, and of packets within packets, are completed always.
     */
    private boolean mayLeaveBlank(MemorySegment memory, long header, int length, int gso) {
        if (gso != 0) {
            return true; // whoever takes large frames sums them up
        }
        long at = header + VnetHeader.BYTES;
        headers.parse(memory, at, length);
        int start = VnetHeader.csumStart(memory, header);
        int field = start + VnetHeader.csumOffset(memory, header);
        boolean outer = field == headers.checksumOffset() && start == headers.l4Offset();
        boolean able = headers.ipVersion() == 6 ? receives.blankChecksum6() : receives.blankChecksum4();
        if (able && outer && headers.vlanTags() == 0) {
            return true;
        }
        if (outer) {
            Checksums.complete(memory, at, headers);
        } else if (field + 2 <= length && start < length) {
            int sum = Checksums.sum(memory, at + start, length - start); // the pseudo-header's is in the field
            memory.set(NetworkOrder.SHORT, at + field, (short) ~sum);
        }
        return false;
    }

    private void layOut(MemorySegment memory, long at, int length, int checksum) {
        boolean hashed = hashSetting.hashes();
        int hash = 0;
        if (hashed) {
            headers.parse(memory, at, length);
            hash = toeplitz.hash(memory, at, headers, hashSetting.types());
            hashed = toeplitz.type() >= 0;
        }
        boolean extras = gsoType != 0 || hashed || headroom > 0;
        int done = 0;
        while (done < length) {
            boolean first = done == 0;
            int bytes = Math.min(GrantCopyBatch.PAGE_BYTES - headroom, length - done);
            long request = ring.takeWord();
            int entry = copy(NetSlots.rxRequestGref(request), memory, at + done, bytes);
            done += bytes;
            int flags = (done < length ? Netif.RX_MORE_DATA : 0)
                    | (first ? checksum : 0)
                    | (first && extras ? Netif.RX_EXTRA_INFO : 0);
            respond(NetSlots.rxResponse(NetSlots.rxRequestId(request), headroom, flags, bytes), entry);
            if (first && extras) {
                layOutExtras(hashed, hash);
            }
        }
        counters.rxPackets.add(1);
        counters.rxBytes.add(length);
    }

    private void layOutExtras(boolean hashed, int hash) {
        if (gsoType != 0) {
            NetSlots.putGso(extra, gsoSize, gsoType, hashed || headroom > 0);
            layOutExtra();
        }
        if (headroom > 0) {
            NetSlots.putXdp(extra, headroom, hashed);
            layOutExtra();
        }
        if (hashed) {
            NetSlots.putHash(extra, toeplitz.type(), hash);
            layOutExtra();
        }
    }

    /** The request's grant stays unused: responses keep the requests' places. */
    private void layOutExtra() {
        ring.takeWord();
        respond((long) WORD.get(extra, 0L), NO_ENTRY);
    }

    /** Has bytes copied into a page of the guest, now if it is mapped. */
    private int copy(int gref, MemorySegment memory, long at, int bytes) {
        StagedGrants staged = connection.staged();
        long page = staged == null ? StagedGrants.NONE : staged.find(gref, true);
        if (staged != null && page >= 0) {
            MemorySegment.copy(memory, at, staged.memory(), page + headroom, bytes);
            return NO_ENTRY;
        }
        return copies.add(connection.guestDomid(), gref, headroom, memory, at, bytes);
    }

    private void respond(long response, int entry) {
        WORD.set(responses, place(responseCount), response);
        entries[responseCount++] = entry;
    }

    private long place(int response) {
        return (long) (ring.answered() + response & Netif.SLOTS - 1) * Netif.RX_SLOT_BYTES;
    }

    /** Copies and answers what was laid out. */
    void finish() {
        if (copies.count() > 0 && connection.grants().copy(copies) > 0) {
            markRefused();
        }
        ring.putResponses(responses, responseCount);
        copies.clear();
        responseCount = 0;
        segmentsUsed = 0;
    }

    private void markRefused() {
        for (int i = 0; i < responseCount; i++) {
            int status = entries[i] == NO_ENTRY ? GrantStatus.OKAY : copies.status(entries[i]);
            if (status != GrantStatus.OKAY) {
                counters.drop(NetDrop.BAD_GRANT);
                WORD.set(responses, place(i), NetSlots.rxResponse((long) WORD.get(responses, place(i)), status));
            }
        }
    }

    private static int gsoOf(int vnetType) {
        return switch (vnetType) {
            case VnetHeader.GSO_TCPV4 -> Netif.GSO_TCPV4;
            case VnetHeader.GSO_TCPV6 -> Netif.GSO_TCPV6;
            default -> 0;
        };
    }
}
