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
import xenback.block.protocol.Offered;
import xenback.block.protocol.Rule;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.event.EventChannels;
import xenback.xen.event.EventStorm;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantCopyBatch.Direction;
import xenback.xen.grant.GrantStatus;
import xenback.xen.grant.GrantTable;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.ring.BackRing;

/**
 * One ring, one event channel, one loop: the data path. An event starts a sweep over the ring; descriptors of indirect
 * requests come over in one grant copy, the payload of all writes in another; disk operations go out together at the end of the
 * loop's turn; what completes in a turn goes back in one grant copy, one push and at most one notification. With persistent
 * grants the disk works on the guest's own pages and nothing is copied.
 *
 * <p>While there is work the port stays masked and the ring is looked at each turn; the frontend is asked for an event, and the
 * port unmasked, only when a look found nothing: a guest that keeps the ring busy sends no events.
 *
 * <p>Everything here runs on the loop's thread, except construction. Requests in flight stand in one flat table with their
 * decoded copies; nothing is allocated per request.
 */
final class BlockQueue {
    private static final System.Logger LOG = System.getLogger(BlockQueue.class.getName());

    /**
     * Payload taken up before what was taken is submitted and what is ready goes back: half of a usual second-level cache, so
     * that bytes are copied on while they are still there.
     */
    private static final int BURST_BYTES = 256 * 1024;

    /** Entries of a grant copy, if no single request needs more. */
    private static final int COPY_ENTRIES = 512;

    /** Indirect requests whose descriptors are fetched together. */
    private static final int DESCRIBED_TOGETHER = 32;

    private static final int NONE = -1;

    private final String name;
    private final int guestDomid;
    private final BlkifLayout layout;
    private final Offered offered;
    private final BackRing ring;
    private final EventLoop loop;
    private final EventChannels events;
    private final int port;
    private final GrantTable grants;
    private final Disk disk;
    private final DiskQueue diskQueue;
    private final BlockSession.Ties ties;
    private final QueueCounters counters;
    private final EventStorm storm = new EventStorm();

    // Requests in flight, by table index. A ring never has more unanswered than slots, so the table cannot run out.
    private final InFlight[] table;
    private final int[] free;
    private int freeCount;

    private final Payload payload;

    /** Requests that found no room in the pool, oldest first, in a ring. Nothing more is taken before they have. */
    private final int[] parked;

    private int parkedFirst;
    private int parkedCount;

    /** The barrier that waits for those before it, or runs. Nothing more is taken before it is answered. */
    private int barrier = NONE;

    private boolean barrierRuns;

    private final GrantCopyBatch descriptors;
    private final MemorySegment descriptorCopy; // as much for each of described
    private final int descriptorBytes;
    private final int[] described = new int[DESCRIBED_TOGETHER];
    private int describedCount;

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

    /** An event came and no request with it, as far as was seen. */
    private boolean eventUnanswered;

    /** The port stays masked until then. */
    private boolean damped;

    private long dampedUntilNanos;
    private boolean sweepAgain;
    private int burstBytes;
    private long nowNanos;
    private boolean ended;
    private boolean closed;
    private Runnable onIdle = () -> {};

    private final Completion onRead = this::onRead;
    private final Completion onWritten = this::onWritten;
    private final Completion onFlushed = this::onFlushed;
    private final Completion onDiscarded = this::onDiscarded;
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
            QueueCounters counters)
            throws XenException {
        name = connection.name();
        guestDomid = connection.guestDomid();
        layout = connection.abi().layout();
        offered = connection.offered();
        loop = connection.loop();
        events = connection.events();
        port = connection.port();
        grants = connection.grants();
        ties = connection.ties();
        this.ring = ring;
        this.disk = disk;
        this.diskQueue = diskQueue;
        this.counters = counters;
        int slots = ring.slots();
        table = new InFlight[slots];
        free = new int[slots];
        for (int i = 0; i < slots; i++) {
            table[i] = new InFlight(arena);
            free[i] = slots - 1 - i; // taken from the end: the same few are used again and stay in the cache
        }
        freeCount = slots;
        int largest = Math.max(BlkifLayout.MAX_SEGMENTS, offered.indirectSegments());
        payload = new Payload(connection, slots, largest, arena);
        int entries = Math.max(COPY_ENTRIES, largest);
        fromGuest = new GrantCopyBatch(Direction.FROM_GUEST, entries);
        toGuest = new GrantCopyBatch(Direction.TO_GUEST, entries);
        parked = new int[slots];
        writesToCopy = new int[slots];
        readsToCopy = new int[slots];
        descriptorBytes = BlkifLayout.descriptorBytes(offered.indirectSegments());
        descriptorCopy = arena.allocate(Math.max(8, (long) DESCRIBED_TOGETHER * descriptorBytes), 8);
        descriptors = new GrantCopyBatch(
                Direction.FROM_GUEST, DESCRIBED_TOGETHER * BlkifLayout.indirectPages(offered.indirectSegments()));
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

    /** What is due about once a second: pages that the guest does not use any more go back. */
    void keepHouse() {
        if (!closed) {
            counters.persistentPages.set(payload.expire(System.nanoTime()));
        }
    }

    /** The ring is about to go: whatever was signalled before is not followed any more. */
    void close() {
        closed = true;
        diskQueue.close();
        payload.close();
        counters.persistentPages.set(0);
    }

    private void finishTurn() {
        if (closed) {
            return;
        }
        nowNanos = System.nanoTime();
        copyReads();
        push();
        if (events.takePending(pendingPorts) > 0) {
            counters.events.add(1);
            masked = true;
            eventUnanswered = true;
            sweepAgain = true;
        }
        if (damped && nowNanos - dampedUntilNanos >= 0) {
            damped = false;
            sweepAgain = true;
        }
        if (sweepAgain) {
            sweep();
            push(); // refusals need no disk and no second turn
        }
        if (ended && ring.unanswered() == 0) {
            Runnable idle = onIdle;
            onIdle = () -> {};
            idle.run();
        }
    }

    private void sweep() {
        sweepAgain = false;
        burstBytes = 0;
        resume();
        if (!ended && !ring.beginSweep()) {
            breakRing();
        }
        if (ended) {
            copyWrites(); // what was taken is finished, nothing more is taken
            return;
        }
        int taken = 0;
        for (; mayTake() && ring.takeRequest(slotCopy); taken++) {
            begin(free[--freeCount]);
        }
        fetchDescriptors();
        copyWrites();
        if (parkedCount > 0 || barrier != NONE) {
            return; // an answer sweeps again
        }
        if (taken > 0 || ring.untaken() > 0 || ring.rearm()) {
            // What found room at last may have used up the burst, so that the rest of the ring was not taken. What was
            // started may be done by the next turn, and more may have come; only a look in vain asks for an
            // event.
            if (taken > 0) {
                eventUnanswered = false;
                storm.calm();
            }
            sweepAgain = true;
            loop.atNextTurn(turnEnd);
        } else {
            unmask();
        }
    }

    /** Goes on with what was held back. */
    private void resume() {
        while (parkedCount > 0 && tryLaunch(parked[parkedFirst])) {
            parkedFirst = parkedFirst + 1 & parked.length - 1; // slots are a power of two
            parkedCount--;
        }
        if (barrier != NONE && !barrierRuns && ring.unanswered() == 1) {
            barrierRuns = true;
            launch(barrier);
        }
    }

    private boolean mayTake() {
        return burstBytes < BURST_BYTES && parkedCount == 0 && barrier == NONE;
    }

    /**
     * Lets events come again, only after the sweep: one that comes now finds the ring re-armed. A guest that sends events and no
     * requests is made to wait (XSA-332).
     */
    private void unmask() {
        if (!masked || damped) {
            return;
        }
        long delayNanos = eventUnanswered ? storm.onVainEvent() : 0;
        eventUnanswered = false;
        if (delayNanos > 0) {
            counters.damped.add(1);
            damped = true;
            dampedUntilNanos = nowNanos + delayNanos;
            loop.later(turnEnd, delayNanos);
        } else {
            masked = false;
            events.unmask(port);
        }
    }

    private void begin(int index) {
        counters.taken.add(1);
        InFlight flight = table[index];
        BlkifRequest request = flight.request;
        request.decode(slotCopy, layout);
        flight.phase = InFlight.Phase.FIRST;
        flight.poolPages = 0;
        flight.mapped = false;
        Rule rule = request.check(disk.sizeBytes(), disk.logicalBlockBytes(), disk.readOnly(), offered);
        if (rule != Rule.NONE) {
            refuse(index, rule);
        } else if (request.isIndirect()) {
            counters.indirect.add(1);
            describe(index);
        } else if (request.operation() == Blkif.OP_WRITE_BARRIER) {
            barrier = index; // nothing more is taken, and what was before it runs as soon as the sweep ends
            barrierRuns = false;
            resume();
        } else {
            launch(index);
        }
    }

    /** Has the descriptors of an indirect request fetched, from pages that are mapped or with the next copy. */
    private void describe(int index) {
        if (describedCount == DESCRIBED_TOGETHER) {
            fetchDescriptors();
        }
        BlkifRequest request = table[index].request;
        long at = (long) describedCount * descriptorBytes;
        described[describedCount++] = index;
        table[index].firstEntry = descriptors.count();
        int left = BlkifLayout.descriptorBytes(request.segmentCount());
        for (int page = 0; left > 0; page++) {
            int bytes = Math.min(left, GrantCopyBatch.PAGE_BYTES);
            int gref = request.descriptorGref(page);
            if (!payload.copyFromMapped(gref, descriptorCopy, at, bytes, nowNanos)) {
                descriptors.add(guestDomid, gref, 0, descriptorCopy, at, bytes);
            }
            at += bytes;
            left -= bytes;
        }
    }

    private void fetchDescriptors() {
        if (describedCount == 0) {
            return;
        }
        boolean allCopied = descriptors.count() == 0 || grants.copy(descriptors) == 0;
        int count = describedCount;
        for (int i = 0; i < count; i++) {
            int index = described[i];
            InFlight flight = table[index];
            int end = i + 1 < count ? table[described[i + 1]].firstEntry : descriptors.count();
            if (!allCopied && !copied(descriptors, flight.firstEntry, end)) {
                refuse(index, Rule.BAD_GRANT);
                continue;
            }
            flight.request.decodeSegments(descriptorCopy, (long) i * descriptorBytes);
            Rule rule = flight.request.checkSegments(disk.sizeBytes(), disk.logicalBlockBytes());
            if (rule != Rule.NONE) {
                refuse(index, rule);
            } else {
                launch(index);
            }
        }
        describedCount = 0;
        descriptors.clear();
    }

    /** Starts a request, or parks it: behind those that wait already, so that a large one is not overtaken for ever. */
    private void launch(int index) {
        if (parkedCount > 0 || !tryLaunch(index)) {
            counters.parked.add(1);
            parked[parkedFirst + parkedCount++ & parked.length - 1] = index;
        }
    }

    /**
     * Finds the payload its place and starts the request, if need be after the next copy from the guest.
     *
     * @return false if there is no room; there will be when those in flight are answered, for the pool holds the largest request
     */
    private boolean tryLaunch(int index) {
        InFlight flight = table[index];
        BlkifRequest request = flight.request;
        int segments = request.segmentCount();
        if (segments == 0) {
            start(index);
            return true;
        }
        if (!payload.place(flight, nowNanos)) {
            return false;
        }
        burstBytes += request.totalBytes();
        if (flight.mapped || request.operation() == Blkif.OP_READ) {
            start(index);
            return true;
        }
        if (segments > fromGuest.capacity() - fromGuest.count()) {
            copyWrites();
        }
        payload.addTo(fromGuest, flight);
        writesToCopy[writesToCopyCount++] = index;
        return true;
    }

    private void start(int index) {
        InFlight flight = table[index];
        BlkifRequest request = flight.request;
        switch (request.operation()) {
            case Blkif.OP_READ -> diskQueue.read(offsetBytes(request), flight.list, onRead, index);
            case Blkif.OP_WRITE -> diskQueue.write(offsetBytes(request), flight.list, onWritten, index);
            case Blkif.OP_DISCARD ->
                diskQueue.discard(
                        offsetBytes(request),
                        request.discardSectors() * BlkifLayout.SECTOR_BYTES,
                        request.secure(),
                        onDiscarded,
                        index);
            // Flush, then the payload, as Linux does (PREFLUSH).
            default -> diskQueue.flush(onFlushed, index);
        }
    }

    private void copyWrites() {
        if (writesToCopyCount == 0) {
            return;
        }
        boolean allCopied = grants.copy(fromGuest) == 0;
        for (int i = 0; i < writesToCopyCount; i++) {
            int index = writesToCopy[i];
            if (!allCopied && !copied(fromGuest, table[index])) {
                refuse(index, Rule.BAD_GRANT);
            } else {
                start(index);
            }
        }
        writesToCopyCount = 0;
        fromGuest.clear();
    }

    private void copyReads() {
        if (readsToCopyCount == 0) {
            return;
        }
        boolean allCopied = grants.copy(toGuest) == 0;
        for (int i = 0; i < readsToCopyCount; i++) {
            int index = readsToCopy[i];
            if (!allCopied && !copied(toGuest, table[index])) {
                refuse(index, Rule.BAD_GRANT);
            } else {
                succeed(index);
            }
        }
        readsToCopyCount = 0;
        toGuest.clear();
    }

    private static boolean copied(GrantCopyBatch batch, InFlight flight) {
        return copied(batch, flight.firstEntry, flight.firstEntry + flight.request.segmentCount());
    }

    private static boolean copied(GrantCopyBatch batch, int first, int end) {
        for (int entry = first; entry < end; entry++) {
            if (batch.status(entry) != GrantStatus.OKAY) {
                return false;
            }
        }
        return true;
    }

    private void onRead(int index, int result) {
        InFlight flight = table[index];
        if (result < 0) {
            fail(index);
        } else if (flight.mapped) {
            succeed(index);
        } else {
            if (flight.request.segmentCount() > toGuest.capacity() - toGuest.count()) {
                copyReads();
            }
            payload.addTo(toGuest, flight);
            readsToCopy[readsToCopyCount++] = index;
            loop.atTurnEnd(turnEnd);
        }
    }

    private void onWritten(int index, int result) {
        InFlight flight = table[index];
        if (result < 0) {
            fail(index);
        } else if (flight.request.operation() == Blkif.OP_WRITE_BARRIER) {
            flight.phase = InFlight.Phase.LAST_FLUSH; // a barrier is durable itself (Linux: PREFLUSH and FUA)
            diskQueue.flush(onFlushed, index);
        } else {
            succeed(index);
        }
    }

    private void onFlushed(int index, int result) {
        InFlight flight = table[index];
        if (result == -Errno.EOPNOTSUPP.number()) {
            withdraw(index, BlockFeature.FLUSH);
        } else if (result < 0) {
            fail(index);
        } else if (flight.phase == InFlight.Phase.FIRST && flight.request.segmentCount() > 0) {
            flight.phase = InFlight.Phase.WRITE;
            diskQueue.write(offsetBytes(flight.request), flight.list, onWritten, index);
        } else {
            succeed(index);
        }
    }

    private void onDiscarded(int index, int result) {
        if (result == -Errno.EOPNOTSUPP.number()) {
            withdraw(index, BlockFeature.DISCARD);
        } else if (result < 0) {
            fail(index);
        } else {
            succeed(index);
        }
    }

    private void push() {
        if (ring.push()) {
            counters.notifications.add(1);
            events.notifyPort(port);
        }
    }

    private void succeed(int index) {
        BlkifRequest request = table[index].request;
        counters.count(request);
        answer(index, Blkif.STATUS_OKAY);
    }

    private void fail(int index) {
        counters.errors.add(1);
        answer(index, Blkif.STATUS_ERROR);
    }

    private void refuse(int index, Rule rule) {
        count(rule);
        answer(index, rule.status());
    }

    /** The store turned out not to be able to do what was offered: the frontend is told to do without. */
    private void withdraw(int index, BlockFeature feature) {
        ties.withdraw(feature);
        answer(index, Blkif.STATUS_EOPNOTSUPP);
    }

    /** Frees what the request held before its response can be seen: the frontend may use the slot and the pages at once. */
    private void answer(int index, short status) {
        InFlight flight = table[index];
        BlkifRequest request = flight.request;
        payload.release(flight, nowNanos);
        free[freeCount++] = index;
        BlkifResponse.encode(response, layout, request.id(), request.operation(), status);
        ring.putResponse(response, layout.responseBytes());
        counters.answered.add(1);
        sweepAgain |= parkedCount > 0 || barrier != NONE; // what waits may go on
        if (index == barrier) {
            barrier = NONE;
        }
        loop.atTurnEnd(turnEnd);
    }

    private void breakRing() {
        count(Rule.RING_OVERFLOW);
        ended = true; // nothing more is taken; what is in flight is answered as the session drains
        ties.broken(name + ": domain " + guestDomid + " broke its ring (" + Rule.RING_OVERFLOW + "): " + ring);
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
