package xenback.net.backend;

import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import xenback.net.link.LinkQueue;
import xenback.net.link.VnetHeader;
import xenback.net.packet.Checksums;
import xenback.net.packet.FrameHeaders;
import xenback.net.protocol.NetRule;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.net.protocol.TxPacket;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantCopyBatch.Direction;
import xenback.xen.grant.GrantStatus;
import xenback.xen.io.Completion;
import xenback.xen.ring.BackRing;

/**
 * From the guest to the link: requests are copied off the ring once, put together to packets, fetched with one grant copy,
 * judged, sent and answered, in the ring's order. Nothing stays with us, so there is nothing to wait for at the end. The
 * queue's thread; no allocation.
 */
final class TransmitPath {
    private static final System.Logger LOG = System.getLogger(TransmitPath.class.getName());

    /** Packets fetched together. */
    private static final int MOST_PACKETS = 64;

    private static final int COPY_ENTRIES = 512;

    /** Of frames fetched together: stays in the second-level cache, and holds the largest one many times over. */
    private static final int FRAMES_BYTES = 512 * 1024;

    /** Where frames begin at least, with a header in front. */
    private static final int ALIGNMENT = 64;

    /** As Linux' tcp_min_snd_mss. */
    private static final int LEAST_SEGMENT_BYTES = 48;

    /** What virtio_net_hdr cannot say (virtio_net.h, GSO_BY_FRAGS). */
    private static final int NO_SEGMENT_BYTES = 0xFFFF;

    private static final int CHECKSUM_OF_TCP = 16;
    private static final int CHECKSUM_OF_UDP = 6;

    /** Exact and constant, see {@link TxPacket}. */
    private static final VarHandle RESPONSE = ValueLayout.JAVA_INT.varHandle().withInvokeExactBehavior();

    private final NetConnection connection;
    private final BackRing ring;
    private final NetCounters.Queue counters;
    private final MemorySegment slots; // private copies, at the ring's own places

    /**
     * At the ring's own places. Only the first four bytes of a place are ever written; the others, which go over what is left
     * of the request (XSA-216), stay zero.
     */
    private final MemorySegment responses;

    private final MemorySegment frames;
    private final GrantCopyBatch copies = new GrantCopyBatch(Direction.FROM_GUEST, COPY_ENTRIES);
    private final TxPacket[] packets = new TxPacket[MOST_PACKETS];
    private final int[] usedSlots = new int[MOST_PACKETS];
    private final int[] firstEntries = new int[MOST_PACKETS];
    private final int[] places = new int[MOST_PACKETS];
    private final FrameHeaders headers = new FrameHeaders();
    private final int[] sentBytes = new int[MOST_PACKETS];
    private final Completion onSent = this::onSent;
    private final Runnable onAllSent;
    private int packetCount;
    private int framesUsed;

    /** Frames that the link has not done with: until then their memory is the link's. */
    private int unsent;

    /** Number of the first slot that was taken off the ring and not understood yet. */
    private int next;

    /** Set while the rate limit holds the next packet back: for how long yet. */
    private long throttledNanos;

    /** {@code onAllSent} is called when the link has done with all frames that it took to send them soon. */
    TransmitPath(NetConnection connection, BackRing ring, NetCounters.Queue counters, Arena arena, Runnable onAllSent) {
        this.connection = connection;
        this.ring = ring;
        this.counters = counters;
        this.onAllSent = onAllSent;
        slots = arena.allocate((long) Netif.SLOTS * Netif.TX_SLOT_BYTES, 8);
        responses = arena.allocate((long) Netif.SLOTS * Netif.TX_SLOT_BYTES, 8);
        frames = arena.allocate(FRAMES_BYTES, GrantCopyBatch.PAGE_BYTES);
        for (int i = 0; i < MOST_PACKETS; i++) {
            packets[i] = new TxPacket();
        }
        next = ring.taken();
    }

    /**
     * Takes what is on the ring now, and serves it as far as frames need not wait for others to be sent; the rest is for the next
     * sweep.
     *
     * @return how many requests were taken or served, whichever are more; negative if the ring is broken
     */
    int sweep(long nowNanos) {
        if (!ring.beginSweep()) {
            breakRing(NetRule.RING_OVERFLOW, ring);
            return -1;
        }
        int taken = ring.untaken();
        int first = next;
        ring.takeRequests(slots);
        throttledNanos = 0;
        while (next != ring.taken() && throttledNanos == 0 && unsent == 0) {
            NetRule fatal = gather(nowNanos);
            finish();
            if (fatal != NetRule.NONE) {
                breakRing(fatal, ring);
                return -1;
            }
        }
        return Math.max(taken, next - first);
    }

    /** True if the link still has frames of ours. */
    boolean isSending() {
        return unsent > 0;
    }

    /** For how many nanoseconds the next packet has to wait; 0 if none waits. */
    long throttledNanos() {
        return throttledNanos;
    }

    /** Takes packets up as far as there is room for them. Returns a rule that ends the interface. */
    private NetRule gather(long nowNanos) {
        RateLimit limit = connection.policy().fromGuest();
        packetCount = 0;
        framesUsed = 0;
        copies.clear();
        while (packetCount < MOST_PACKETS
                && copies.capacity() - copies.count() >= TxPacket.MOST_SLOTS
                && FRAMES_BYTES - framesUsed >= Netif.MOST_FRAME_BYTES + GrantCopyBatch.PAGE_BYTES + 2 * ALIGNMENT
                && next != ring.taken()) {
            TxPacket packet = packets[packetCount];
            int used = packet.gather(slots, next, ring.taken() - next);
            if (packet.rule().fatal()) {
                return packet.rule();
            }
            throttledNanos = packet.rule() == NetRule.NONE ? limit.take(packet.size(), nowNanos) : 0;
            if (throttledNanos > 0) {
                return NetRule.NONE; // its slots are read anew when its time has come
            }
            usedSlots[packetCount] = used;
            next += used;
            firstEntries[packetCount] = copies.count();
            if (packet.rule() == NetRule.NONE && !packet.isGroupOperation()) {
                addCopies(packet);
            }
            packetCount++;
        }
        return NetRule.NONE;
    }

    private void addCopies(TxPacket packet) {
        int first = firstByte(packet);
        places[packetCount] = first;
        long at = first;
        StagedGrants staged = connection.staged();
        for (int i = 0; i < packet.slotCount(); i++) {
            int gref = packet.gref(i);
            int bytes = packet.size(i);
            long page = staged == null ? StagedGrants.NONE : staged.find(gref, false);
            if (staged != null && page >= 0) {
                MemorySegment.copy(staged.memory(), page + packet.offset(i), frames, at, bytes);
            } else if (bytes > 0) { // empty ones are allowed and mean nothing (XSA-448)
                copies.add(connection.guestDomid(), gref, packet.offset(i), frames, at, bytes);
            }
            at += bytes;
        }
        framesUsed = first + packet.size() + ALIGNMENT - 1 & -ALIGNMENT;
    }

    /**
     * Where the next packet's first byte goes. A copy that crosses a page of ours is two for Linux and Xen, so the second slot
     * lies in its page as it does in the guest's; the others mostly follow from that, since frontends split at pages.
     */
    private int firstByte(TxPacket packet) {
        int first = framesUsed + VnetHeader.BYTES;
        return packet.slotCount() == 1
                ? first
                : first + (packet.offset(1) - first - packet.size(0) & GrantCopyBatch.PAGE_BYTES - 1);
    }

    /** Fetches, sends and answers what was gathered. */
    private void finish() {
        int answers = 0;
        boolean allCopied = copies.count() == 0 || connection.grants().copy(copies) == 0;
        for (int i = 0; i < packetCount; i++) {
            TxPacket packet = packets[i];
            NetRule rule = packet.rule();
            int end = i + 1 < packetCount ? firstEntries[i + 1] : copies.count();
            if (rule == NetRule.NONE && !allCopied && !copied(firstEntries[i], end)) {
                rule = NetRule.BAD_GRANT;
            }
            if (rule == NetRule.NONE) {
                rule = packet.isGroupOperation() ? changeGroups(packet) : send(packet, i);
            }
            if (rule != NetRule.NONE) {
                count(rule);
            }
            answer(packet, i, rule, ring.answered() + answers);
            answers += usedSlots[i];
        }
        ring.putResponses(responses, answers);
    }

    private NetRule changeGroups(TxPacket packet) {
        GuestGroups groups = connection.policy().groups;
        if (packet.groupOperation() == Netif.EXTRA_MCAST_DEL) {
            groups.remove(packet.group());
            return NetRule.NONE;
        }
        return groups.add(packet.group()) ? NetRule.NONE : NetRule.TOO_MANY_GROUPS;
    }

    private boolean copied(int first, int end) {
        for (int entry = first; entry < end; entry++) {
            if (copies.status(entry) != GrantStatus.OKAY) {
                return false;
            }
        }
        return true;
    }

    /** Describes the frame to the link and hands it over. */
    private NetRule send(TxPacket packet, int index) {
        int place = places[index];
        int size = packet.size();
        int at = place - VnetHeader.BYTES;
        if (!connection.policy().sources().permits(frames, place, size, headers)) {
            counters.drop(NetDrop.SPOOFED);
            return NetRule.NONE; // as a switch would: the guest is not told
        }
        if (packet.gsoType() != 0) {
            if (packet.gsoSize() < LEAST_SEGMENT_BYTES) {
                return NetRule.TINY_SEGMENTS;
            }
            int type = packet.gsoType() == Netif.GSO_TCPV4 ? VnetHeader.GSO_TCPV4 : VnetHeader.GSO_TCPV6;
            int version = packet.gsoType() == Netif.GSO_TCPV4 ? 4 : 6;
            headers.parse(frames, place, size);
            if (headers.l4() != FrameHeaders.L4.TCP
                    || headers.ipVersion() != version
                    || packet.gsoSize() == NO_SEGMENT_BYTES) {
                return NetRule.GSO_MISMATCH;
            }
            size = makeReady(place, size);
            if (size < 0) {
                return NetRule.GSO_MISMATCH;
            }
            Checksums.completeIpv4Header(frames, place, headers);
            int ecn = (headers.tcpFlags() & FrameHeaders.TCP_CWR) != 0 ? VnetHeader.GSO_ECN : 0;
            VnetHeader.put(
                    frames,
                    at,
                    VnetHeader.NEEDS_CSUM,
                    type | ecn,
                    headers.headerBytes(),
                    packet.gsoSize(),
                    headers.l4Offset(),
                    CHECKSUM_OF_TCP);
        } else if ((packet.flags() & Netif.TX_CSUM_BLANK) != 0) {
            size = describeBlankChecksum(at, place, size);
        } else {
            boolean validated = (packet.flags() & Netif.TX_DATA_VALIDATED) != 0;
            VnetHeader.put(frames, at, validated ? VnetHeader.DATA_VALID : 0);
        }
        int sent = connection.link().sendSoon(connection.loop(), frames, at, VnetHeader.BYTES + size, onSent, index);
        if (sent == LinkQueue.SOON) {
            sentBytes[index] = size;
            unsent++;
        } else {
            countSent(size, sent);
        }
        return NetRule.NONE;
    }

    private void onSent(int index, int result) {
        countSent(sentBytes[index], result);
        if (--unsent == 0) {
            onAllSent.run();
        }
    }

    private void countSent(int size, int result) {
        if (result < 0) {
            counters.drop(NetDrop.LINK_REFUSED);
        } else {
            counters.txPackets.add(1);
            counters.txBytes.add(size);
        }
    }

    /**
     * The guest left the checksum to us. The pseudo-header is summed anew, for what stands in the field is a guest's; the rest
     * the kernel or its device adds where the frame leaves the machine. What has no such field (a fragment, an unknown
     * protocol) goes as it is: nobody could have meant to change it. The IPv4 header's checksum is made right too: some
     * frontends leave it blank (FreeBSD's with CSUM_IP), and a bridge's firewall drops what has a wrong one (br_netfilter).
     *
     * @return bytes of the frame to send
     */
    private int describeBlankChecksum(int at, int place, int bytes) {
        headers.parse(frames, place, bytes);
        Checksums.completeIpv4Header(frames, place, headers);
        int size = makeReady(place, bytes);
        if (size >= 0) {
            boolean tcp = headers.l4() == FrameHeaders.L4.TCP;
            int offset = tcp ? CHECKSUM_OF_TCP : CHECKSUM_OF_UDP;
            int start = headers.l4Offset();
            VnetHeader.put(frames, at, VnetHeader.NEEDS_CSUM, VnetHeader.GSO_NONE, 0, 0, start, offset);
            return size;
        }
        if (!Checksums.complete(frames, place, headers)) {
            count(NetRule.NO_CHECKSUM_FIELD);
        }
        VnetHeader.put(frames, at, 0);
        return bytes;
    }

    /**
     * Makes a blank checksum ready for whoever fills it in, who sums up to the frame's end: what is there beyond the IP packet,
     * and is not zero, is left off.
     *
     * @return bytes of the frame that is left; negative if it has no checksum that others can fill in
     */
    private int makeReady(int place, int size) {
        if (Checksums.preparePartial(frames, place, headers)) {
            return size;
        }
        int end = headers.endOffset();
        if (headers.checksumOffset() < 0 || end >= size) {
            return -1;
        }
        headers.parse(frames, place, end);
        return Checksums.preparePartial(frames, place, headers) ? end : -1;
    }

    /**
     * One response for each slot: the first's, those of its extra infos, then the others'. If pages could not be copied, the
     * slots that name them are errors and the others are not, though the packet is lost.
     */
    private void answer(TxPacket packet, int index, NetRule rule, int firstAnswer) {
        int extras = packet.extraCount();
        int entry = firstEntries[index];
        for (int i = 0; i < usedSlots[index]; i++) {
            int response = NetSlots.txResponse((short) 0, Netif.STATUS_NULL);
            if (i == 0 || i > extras) {
                int slot = i == 0 ? 0 : i - extras;
                boolean okay = rule == NetRule.NONE;
                if (rule == NetRule.BAD_GRANT) {
                    boolean copied = isCopied(packet, slot);
                    okay = !copied || copies.status(entry) == GrantStatus.OKAY;
                    entry += copied ? 1 : 0;
                }
                response = NetSlots.txResponse(packet.id(slot), okay ? Netif.STATUS_OKAY : Netif.STATUS_ERROR);
            }
            RESPONSE.set(responses, place(firstAnswer + i), response);
        }
    }

    /** Whether a slot of a packet has an entry among the copies. */
    private boolean isCopied(TxPacket packet, int slot) {
        StagedGrants staged = connection.staged();
        return packet.size(slot) > 0 && (staged == null || staged.find(packet.gref(slot), false) < 0);
    }

    /** The interface cannot go on. */
    void breakRing(NetRule rule, BackRing broken) {
        count(rule);
        connection
                .ties()
                .broken(connection.name() + ": domain " + connection.guestDomid() + " broke its ring (" + rule + "): "
                        + broken);
    }

    private void count(NetRule rule) {
        if (counters.violation(rule, System.nanoTime())) {
            LOG.log(
                    Level.WARNING,
                    "{0}: domain {1}: {2}, {3} so far",
                    connection.name(),
                    Integer.toString(connection.guestDomid()),
                    rule,
                    Long.toString(counters.violations(rule)));
        }
    }

    private static long place(int slot) {
        return (long) (slot & Netif.SLOTS - 1) * Netif.TX_SLOT_BYTES;
    }
}
