package xenback.block.backend;

import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskQueue;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifLayout;
import xenback.block.protocol.BlkifRequest;
import xenback.block.protocol.BlkifResponse;
import xenback.block.protocol.Rule;
import xenback.xen.bus.BackendDriver;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantCopyBatch.Direction;
import xenback.xen.grant.GrantStatus;
import xenback.xen.grant.GrantTable;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.ScatterList;
import xenback.xen.ring.BackRing;

/**
 * One ring, one event channel, one loop: the data path. An event starts a sweep over the ring; the payload of all writes of
 * the sweep comes over in one grant copy; disk operations go out together at the end of the loop's turn; what completes in a
 * turn goes back in one grant copy, one push and at most one notification.
 *
 * <p>Everything here runs on the loop's thread, except construction. Requests in flight stand in one flat table with their
 * decoded copies; nothing is allocated per request.
 */
final class BlockQueue {
    private static final System.Logger LOG = System.getLogger(BlockQueue.class.getName());

    /** Bytes of payload that a request can carry. */
    private static final int PAYLOAD_BYTES = BlkifLayout.MAX_SEGMENTS * GrantCopyBatch.PAGE_BYTES;

    /**
     * Payload taken up before what was taken is submitted and what is ready goes back: half of a usual second-level cache, so
     * that bytes are copied on while they are still there.
     */
    private static final int BURST_BYTES = 256 * 1024;

    /** A guest that moves its index while we look is looked at again in the next turn, not for ever in this one. */
    private static final int ROUNDS_PER_TURN = 4;

    private final String name;
    private final int guestDomid;
    private final BlkifLayout layout;
    private final BackRing ring;
    private final EventLoop loop;
    private final EventChannels events;
    private final int port;
    private final GrantTable grants;
    private final Disk disk;
    private final DiskQueue diskQueue;
    private final BackendDriver.Broken onBroken;
    private final BlockCounters counters;

    // Requests in flight, by table index. A ring never has more unanswered than slots, so the table cannot run out.
    private final BlkifRequest[] requests;
    private final ScatterList[] lists;
    private final int[] firstEntries; // of this request in the batch that carries its payload
    private final int[] free;
    private int freeCount;

    /** Payload of every table index, side by side; one contiguous piece per request, so that a disk sees one buffer. */
    private final MemorySegment payload;

    private final GrantCopyBatch fromGuest;
    private final GrantCopyBatch toGuest;
    private final int[] writesToCopy;
    private int writesToCopyCount;
    private final int[] readsToCopy;
    private int readsToCopyCount;

    private final MemorySegment slotCopy;
    private final MemorySegment response;
    private final int[] pendingPorts = new int[4];
    private boolean masked;
    private boolean sweepAgain;
    private int burstBytes;
    private boolean ended;
    private boolean closed;
    private Runnable onIdle = () -> {};

    private final Completion onRead = this::onRead;
    private final Completion onWritten = this::onWritten;
    private final Completion onFlushed = this::onFlushed;
    private final EventLoop.TurnEnd turnEnd = new EventLoop.TurnEnd() {
        @Override
        protected void endTurn() {
            finishTurn();
        }
    };

    BlockQueue(
            BlockConnection connection,
            BackRing ring,
            Disk disk,
            DiskQueue diskQueue,
            Arena arena,
            BlockCounters counters,
            BackendDriver.Broken onBroken) {
        name = connection.name();
        guestDomid = connection.guestDomid();
        layout = connection.abi().layout();
        loop = connection.loop();
        events = connection.events();
        port = connection.port();
        grants = connection.grants();
        this.ring = ring;
        this.disk = disk;
        this.diskQueue = diskQueue;
        this.counters = counters;
        this.onBroken = onBroken;
        int slots = ring.slots();
        requests = new BlkifRequest[slots];
        lists = new ScatterList[slots];
        firstEntries = new int[slots];
        free = new int[slots];
        for (int i = 0; i < slots; i++) {
            requests[i] = new BlkifRequest();
            lists[i] = new ScatterList(1, arena);
            free[i] = slots - 1 - i; // taken from the end: the same few are used again and stay in the cache
        }
        freeCount = slots;
        payload = arena.allocate((long) slots * PAYLOAD_BYTES, GrantCopyBatch.PAGE_BYTES);
        fromGuest = new GrantCopyBatch(Direction.FROM_GUEST, slots * BlkifLayout.MAX_SEGMENTS);
        toGuest = new GrantCopyBatch(Direction.TO_GUEST, slots * BlkifLayout.MAX_SEGMENTS);
        writesToCopy = new int[slots];
        readsToCopy = new int[slots];
        slotCopy = arena.allocate(layout.requestBytes(), 8);
        response = arena.allocate(16, 8);
    }

    /** Begins to serve. The frontend may have put requests on the ring long before. */
    void begin() {
        events.listen(loop, turnEnd);
        sweepAgain = true;
        loop.atTurnEnd(turnEnd);
    }

    /** Takes no more requests, and calls {@code onIdle} when those in flight are answered. */
    void drain(Runnable whenIdle) {
        ended = true;
        onIdle = whenIdle;
        loop.atTurnEnd(turnEnd);
    }

    private void sweep() {
        sweepAgain = false;
        burstBytes = 0;
        for (int round = 0; round < ROUNDS_PER_TURN; round++) {
            if (!ring.beginSweep()) {
                breakRing();
                return;
            }
            while (burstBytes < BURST_BYTES && ring.takeRequest(slotCopy)) {
                begin(free[--freeCount]);
            }
            copyWrites();
            if (burstBytes >= BURST_BYTES) {
                sweepAgain = true;
                loop.atNextTurn(turnEnd);
                return;
            }
            if (!ring.rearm()) {
                unmask();
                return;
            }
        }
        sweepAgain = true;
        loop.atTurnEnd(turnEnd);
    }

    /** Unmask only after the sweep: an event that comes now finds the ring re-armed. */
    private void unmask() {
        if (masked) {
            masked = false;
            events.unmask(port);
        }
    }

    private void begin(int index) {
        counters.taken.add(1);
        BlkifRequest request = requests[index];
        request.decode(slotCopy, layout);
        Rule rule = request.check(disk.sizeBytes(), disk.logicalBlockBytes(), disk.readOnly());
        if (rule != Rule.NONE) {
            refuse(index, rule);
            return;
        }
        if (request.segmentCount() > 0) {
            int bytes = request.totalBytes();
            lists[index].clear();
            lists[index].add(payload, (long) index * PAYLOAD_BYTES, bytes);
            burstBytes += bytes;
        }
        switch (request.operation()) {
            case Blkif.OP_READ -> diskQueue.read(offsetBytes(request), lists[index], onRead, index);
            case Blkif.OP_WRITE -> {
                addPayload(fromGuest, index);
                writesToCopy[writesToCopyCount++] = index;
            }
            default -> {
                if (request.segmentCount() == 0) {
                    diskQueue.flush(onFlushed, index);
                } else {
                    addPayload(fromGuest, index);
                    writesToCopy[writesToCopyCount++] = index;
                }
            }
        }
    }

    private void addPayload(GrantCopyBatch batch, int index) {
        BlkifRequest request = requests[index];
        firstEntries[index] = batch.count();
        long at = (long) index * PAYLOAD_BYTES;
        for (int i = 0; i < request.segmentCount(); i++) {
            int bytes = request.segmentBytes(i);
            batch.add(guestDomid, request.gref(i), request.segmentOffset(i), payload, at, bytes);
            at += bytes;
        }
    }

    private void copyWrites() {
        if (writesToCopyCount == 0) {
            return;
        }
        boolean allCopied = grants.copy(fromGuest) == 0;
        for (int i = 0; i < writesToCopyCount; i++) {
            int index = writesToCopy[i];
            if (!allCopied && !copied(fromGuest, index)) {
                refuse(index, Rule.BAD_GRANT);
            } else if (requests[index].operation() == Blkif.OP_FLUSH_DISKCACHE) {
                diskQueue.flush(onFlushed, index); // then its own payload, as Linux does (PREFLUSH)
            } else {
                diskQueue.write(offsetBytes(requests[index]), lists[index], onWritten, index);
            }
        }
        writesToCopyCount = 0;
        fromGuest.clear();
    }

    private boolean copied(GrantCopyBatch batch, int index) {
        int first = firstEntries[index];
        for (int i = 0; i < requests[index].segmentCount(); i++) {
            if (batch.status(first + i) != GrantStatus.OKAY) {
                return false;
            }
        }
        return true;
    }

    private void onRead(int index, int result) {
        if (result < 0) {
            fail(index);
        } else {
            addPayload(toGuest, index);
            readsToCopy[readsToCopyCount++] = index;
            loop.atTurnEnd(turnEnd);
        }
    }

    private void onWritten(int index, int result) {
        if (result < 0) {
            fail(index);
        } else {
            counters.writes.add(1);
            counters.bytesWritten.add(requests[index].totalBytes());
            answer(index, Blkif.STATUS_OKAY);
        }
    }

    private void onFlushed(int index, int result) {
        if (result < 0) {
            fail(index);
        } else if (requests[index].segmentCount() > 0) {
            diskQueue.write(offsetBytes(requests[index]), lists[index], onWritten, index);
        } else {
            counters.flushes.add(1);
            answer(index, Blkif.STATUS_OKAY);
        }
    }

    /** The ring is about to go: whatever was signalled before is not followed any more. */
    void close() {
        closed = true;
        diskQueue.close();
    }

    private void finishTurn() {
        if (closed) {
            return;
        }
        copyReads();
        push();
        if (events.takePending(pendingPorts) > 0) {
            masked = true;
            sweepAgain = true;
        }
        if (sweepAgain && !ended) {
            sweep();
            push(); // refusals need no disk and no second turn
        }
        if (ended && ring.unanswered() == 0) {
            Runnable idle = onIdle;
            onIdle = () -> {};
            idle.run();
        }
    }

    private void copyReads() {
        if (readsToCopyCount == 0) {
            return;
        }
        boolean allCopied = grants.copy(toGuest) == 0;
        for (int i = 0; i < readsToCopyCount; i++) {
            int index = readsToCopy[i];
            if (!allCopied && !copied(toGuest, index)) {
                refuse(index, Rule.BAD_GRANT);
            } else {
                counters.reads.add(1);
                counters.bytesRead.add(requests[index].totalBytes());
                answer(index, Blkif.STATUS_OKAY);
            }
        }
        readsToCopyCount = 0;
        toGuest.clear();
    }

    private void push() {
        if (ring.push()) {
            counters.notifications.add(1);
            events.notifyPort(port);
        }
    }

    private void fail(int index) {
        counters.errors.add(1);
        answer(index, Blkif.STATUS_ERROR);
    }

    private void refuse(int index, Rule rule) {
        count(rule);
        answer(index, rule.status());
    }

    /** Frees what the request held before its response can be seen: the frontend may use the slot at once. */
    private void answer(int index, short status) {
        BlkifRequest request = requests[index];
        free[freeCount++] = index;
        BlkifResponse.encode(response, layout, request.id(), request.operation(), status);
        ring.putResponse(response, layout.responseBytes());
        counters.answered.add(1);
        loop.atTurnEnd(turnEnd);
    }

    private void breakRing() {
        count(Rule.RING_OVERFLOW);
        ended = true; // nothing more is taken; what is in flight is answered as the session drains
        onBroken.onBroken(name + ": domain " + guestDomid + " broke its ring (" + Rule.RING_OVERFLOW + "): " + ring);
    }

    private void count(Rule rule) {
        if (counters.violation(rule, System.nanoTime())) {
            LOG.log(
                    Level.WARNING,
                    "{0}: domain {1}: {2}, {3} so far",
                    name,
                    Integer.toString(guestDomid),
                    rule,
                    Long.toString(counters.violations(rule)));
        }
    }

    private static long offsetBytes(BlkifRequest request) {
        return request.sectorNumber() * BlkifLayout.SECTOR_BYTES; // cannot overflow: checked to be inside the disk
    }

    @Override
    public String toString() {
        return name + ": " + ring;
    }
}
