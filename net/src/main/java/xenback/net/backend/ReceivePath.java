package xenback.net.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.jspecify.annotations.Nullable;
import xenback.net.link.VnetHeader;
import xenback.net.packet.FrameHeaders;
import xenback.net.packet.Toeplitz;
import xenback.net.protocol.Netif;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.ring.BackRing;

/**
 * From the link to the guest: a burst of frames is taken from the link into buffers, laid out over the guest's receive requests,
 * copied with one grant copy, and answered, before the next is. Frames for which the guest has posted no requests wait in their
 * buffers, and the link keeps the rest; after a time a waiting frame is dropped. The queue's thread; no allocation.
 */
final class ReceivePath {
    private static final int BUFFERS = 64;
    private static final int BUFFER_BYTES = 65536 + 64;
    /** From one buffer to the next, see {@link #at}. */
    private static final int STRIDE_BYTES = 17 * GrantCopyBatch.PAGE_BYTES;

    /**
     * Frames taken from the link in a sweep, wanted or not: whoever floods a guest with what it does not want must not keep the
     * loop from what the guest sends.
     */
    private static final int MOST_FRAMES = 256;

    /**
     * A burst ends with the frame that brings it to so many bytes: the next one comes into the same buffers, which are still in
     * the processor's cache. Fewer bytes cost more calls into the kernel than that saves.
     */
    private static final int BURST_BYTES = 192 * 1024;

    private final NetConnection connection;
    private final BackRing ring;
    private final NetCounters.Queue counters;
    private final ReceiveBatch batch;
    private final MemorySegment buffers;

    // The burst: frames in buffers 0 to end, of which those before first are done with.
    private final int[] lengths = new int[BUFFERS];
    private final long[] since = new long[BUFFERS];
    private int first;
    private int end;

    // Where the guest's hash sends frames; alone, all are this queue's.
    private final FrameHeaders headers = new FrameHeaders();
    private final Toeplitz toeplitz = new Toeplitz();
    private HashSetting hash = HashSetting.NONE;
    private List<NetQueue> siblings = List.of();
    private int self;
    private @Nullable FrameHandover handover;

    /** The link has no more frames, as far as was seen. */
    private boolean linkEmpty = true;

    /** How many frames the sweep may still take from it. */
    private int left;

    /** Set while the rate limit holds the next frame back: for how long yet. */
    private long throttledNanos;

    /** The guest has posted too little for the oldest frame. */
    private boolean starved;

    /** Credit was taken for the oldest frame already: it found no room then. */
    private boolean paid;

    ReceivePath(NetConnection connection, BackRing ring, NetCounters.Queue counters, Arena arena) {
        this.connection = connection;
        this.ring = ring;
        this.counters = counters;
        batch = new ReceiveBatch(connection, ring, counters, arena);
        buffers = connection.grants().allocateLocal(arena, GrantCopyBatch.PAGE_BYTES + (long) BUFFERS * STRIDE_BYTES);
    }

    /** Has frames handed to the queue that the guest's hash names; {@code all} has this one at {@code number}. */
    void steer(List<NetQueue> all, int number, FrameHandover mine) {
        siblings = all;
        self = number;
        handover = mine;
    }

    /** The link has frames. */
    void onLinkReadable() {
        linkEmpty = false;
    }

    /** True if the link, as far as is known, or another queue has frames for this one, and there is room for them. */
    boolean mayHaveFrames() {
        return !isWaiting() && (!linkEmpty || handover != null && !handover.isEmpty());
    }

    /** True if the link was found without frames: it is to be waited for. */
    boolean isLinkEmpty() {
        return linkEmpty;
    }

    /** True if a frame waits for the guest to post requests. */
    boolean isStarved() {
        return starved;
    }

    /** For how many nanoseconds the next frame has to wait for the rate limit; 0 if none waits for it. */
    long throttledNanos() {
        return throttledNanos;
    }

    /**
     * Takes frames and gives them to the guest, as far as both can.
     *
     * @return how many frames were done with, or -1 if the ring is broken
     */
    int sweep(long nowNanos) {
        throttledNanos = 0;
        starved = false;
        left = MOST_FRAMES;
        int done = 0;
        boolean begun = false;
        do {
            if (!isWaiting()) {
                take(nowNanos);
            }
            if (!isWaiting()) {
                return done;
            }
            if (!begun && !ring.beginSweep()) {
                return -1;
            }
            begun = true;
            if (done > 0) {
                tell();
            }
            done += deliverBurst(nowNanos);
        } while (!isWaiting() && left > 0 && done < BUFFERS);
        return done;
    }

    /** Drops what the guest did not want for long. */
    void expire(long nowNanos, long drainNanos) {
        while (isWaiting() && nowNanos - since[first] > drainNanos) {
            batch.forget();
            drop();
            counters.drop(NetDrop.NO_BUFFERS);
        }
        starved &= isWaiting();
    }

    private boolean isWaiting() {
        return first < end;
    }

    private void drop() {
        first++;
        paid = false;
    }

    /** Has the guest begin with the bursts before, while the next one is copied; the last one goes out with the sweep. */
    private void tell() {
        if (ring.push()) {
            counters.notifications.add(1);
            connection.events().notifyPort(connection.rxPort());
        }
    }

    /** Gives the burst to the guest, as far as it has room; returns how many frames were done with. */
    private int deliverBurst(long nowNanos) {
        int before = first;
        batch.begin();
        while (isWaiting() && deliver(nowNanos)) {
            drop();
        }
        batch.finish();
        return first - before;
    }

    private boolean deliver(long nowNanos) {
        int length = lengths[first];
        if (!paid) {
            throttledNanos = connection.policy().toGuest().take(length, nowNanos);
            if (throttledNanos > 0) {
                return false;
            }
            paid = true;
        }
        boolean done = batch.add(buffers, at(first), length);
        starved = !done;
        return done;
    }

    /** Takes a burst, from other queues and from the link. */
    private void take(long nowNanos) {
        first = 0;
        end = 0;
        takeHanded(nowNanos);
        HashSetting setting = connection.policy().hash();
        if (!setting.equals(hash)) {
            hash = setting;
            toeplitz.setKey(setting.key());
        }
        for (int burst = 0; !linkEmpty && left > 0 && end < BUFFERS && burst < BURST_BYTES; left--) {
            int bytes = connection.link().receive(buffers, at(end), BUFFER_BYTES);
            if (bytes < 0) {
                linkEmpty = true;
                return;
            }
            burst += bytes;
            int length = bytes - VnetHeader.BYTES;
            if (length > Netif.MOST_FRAME_BYTES || length < Netif.LEAST_FRAME_BYTES) {
                counters.drop(NetDrop.BAD_LENGTH);
            } else if (!connection.policy().wants(destination(at(end) + VnetHeader.BYTES))) {
                counters.drop(NetDrop.FILTERED);
            } else if (!handOver(at(end), bytes)) {
                keep(length, nowNanos);
            }
        }
    }

    private void keep(int length, long nowNanos) {
        lengths[end] = length;
        since[end] = nowNanos;
        end++;
    }

    private void takeHanded(long nowNanos) {
        while (handover != null && end < BUFFERS) {
            int bytes = handover.take(buffers, at(end));
            if (bytes < 0) {
                return;
            }
            keep(bytes - VnetHeader.BYTES, nowNanos);
        }
    }

    /** Gives a frame to the queue to which its hash belongs; false if that is this one. */
    private boolean handOver(long at, int bytes) {
        if (handover == null || !hash.hashes()) {
            return false;
        }
        headers.parse(buffers, at + VnetHeader.BYTES, bytes - VnetHeader.BYTES);
        int value = toeplitz.hash(buffers, at + VnetHeader.BYTES, headers, hash.types());
        int target = toeplitz.type() < 0 ? self : hash.queueOf(value, siblings.size());
        if (target == self) {
            return false;
        }
        if (!siblings.get(target).hand(buffers, at, bytes)) {
            counters.drop(NetDrop.QUEUE_FULL);
        }
        return true;
    }

    private long destination(long at) {
        long high = Short.toUnsignedLong(buffers.get(NetworkOrder.SHORT, at));
        return high << 32 | Integer.toUnsignedLong(buffers.get(NetworkOrder.INT, at + 2));
    }

    /**
     * Where a buffer's header is. The frame behind it begins a page, as it does in the guest's pages: a copy that crosses a
     * page of ours is two for Linux and Xen.
     */
    private static long at(int buffer) {
        return GrantCopyBatch.PAGE_BYTES - VnetHeader.BYTES + (long) buffer * STRIDE_BYTES;
    }
}
