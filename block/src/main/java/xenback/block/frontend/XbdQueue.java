package xenback.block.frontend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import xenback.block.disk.DiskQueue;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifLayout;
import xenback.block.protocol.BlkifRequest;
import xenback.block.protocol.BlkifResponse;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.bus.FrontendDriver;
import xenback.xen.embedded.Domain;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.Granter;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.ScatterList;
import xenback.xen.ring.FrontRing;

/**
 * The frontend's queue: cuts operations into requests of at most 11 pages, carries their bytes through pages of the guest
 * that are granted for just as long as the request runs, and puts what came in a turn on the ring with one notification.
 *
 * <p>On the loop's thread, except {@link #open} and {@link #close}. Operations wait in a queue for room on the ring; the
 * number in flight is bounded by the callers.
 */
final class XbdQueue implements DiskQueue {
    private static final int PAGE_BYTES = GrantCopyBatch.PAGE_BYTES;
    private static final int REQUEST_BYTES = BlkifLayout.MAX_SEGMENTS * PAGE_BYTES;
    private static final int ROUNDS_PER_TURN = 4;
    private static final Completion NOBODY = (tag, result) -> {};

    private final String name;
    private final Domain guest;
    private final int backendDomid;
    private final int handle;
    private final BlkifLayout layout;
    private final EventLoop loop;
    private final Arena arena = Arena.ofShared();
    private final EventChannels events;
    private final int port;
    private final Granter.Pages ringPages;
    private final int[] ringGref;
    private final FrontRing ring;
    private final ScatterList none = new ScatterList(1, arena);

    // What belongs to a request on the ring, by its number, which is also its id: pages and grefs for ever, the rest
    // while
    // it runs.
    private final Granter.Pages pages;
    private final int[] grefs;
    private final BlkifRequest request = new BlkifRequest();
    private final int[] requestOperation; // index of the operation it is a part of, -1 when idle
    private final long[] requestStart; // where its bytes start in the operation
    private final int[] requestBytes;
    private final int[] freeRequests;
    private int freeRequestCount;

    // Operations by index, in parallel arrays.
    private int[] kinds = {};
    private ScatterList[] lists = {};
    private long[] offsets = {};
    private long[] sentBytes = {};
    private int[] running = {};
    private int[] errors = {};
    private Completion[] dones = {};
    private int[] tags = {};
    private int[] freeOperations = {};
    private int freeOperationCount;

    // Operations not yet wholly on the ring, oldest first.
    private int[] waiting = new int[64];
    private int waitingHead;
    private int waitingTail;

    private final MemorySegment slot;
    private final int[] pendingPorts = new int[4];
    private boolean masked;
    private boolean sweepAgain;
    private boolean ended;
    private boolean closed;
    private Runnable onIdle = () -> {};
    private long badResponses;

    private final EventLoop.TurnEnd turnEnd = new EventLoop.TurnEnd() {
        @Override
        protected void endTurn() {
            finishTurn();
        }
    };

    private XbdQueue(
            String name, Domain guest, FrontendDriver.Address address, Abi abi, EventLoop loop, EventChannels events)
            throws XenException {
        this.name = name;
        this.guest = guest;
        this.loop = loop;
        this.events = events;
        backendDomid = address.backendDomid();
        handle = address.devid();
        layout = abi.layout();
        port = events.bindUnbound(backendDomid);
        ringPages = guest.allocatePages(1);
        ring = new FrontRing(ringPages.memory(), layout.requestBytes());
        ringGref = guest.allocateGrefs(1);
        guest.grant(ringGref[0], backendDomid, ringPages.firstFrame(), false);
        int slots = ring.slots();
        pages = guest.allocatePages(slots * BlkifLayout.MAX_SEGMENTS);
        grefs = guest.allocateGrefs(slots * BlkifLayout.MAX_SEGMENTS);
        requestOperation = new int[slots];
        Arrays.fill(requestOperation, -1);
        requestStart = new long[slots];
        requestBytes = new int[slots];
        freeRequests = new int[slots];
        for (int i = 0; i < slots; i++) {
            freeRequests[i] = slots - 1 - i;
        }
        freeRequestCount = slots;
        slot = arena.allocate(layout.requestBytes(), 8);
    }

    /** Makes the ring and the port, and grants the ring to the backend. On a control thread. */
    static XbdQueue open(String name, Domain guest, FrontendDriver.Address address, Abi abi, EventLoop loop)
            throws XenException {
        EventChannels events = guest.openEventChannels(address.backendDomid());
        try {
            return new XbdQueue(name, guest, address, abi, loop, events);
        } catch (XenException e) {
            events.close();
            throw e;
        }
    }

    int ringGref() {
        return ringGref[0];
    }

    int port() {
        return port;
    }

    /** The backend is connected: begin to use the ring. */
    void begin() {
        events.listen(loop, turnEnd);
    }

    /** Refuses operations from now on, and calls {@code whenIdle} when those on the ring are answered. */
    void drain(Runnable whenIdle) {
        ended = true;
        onIdle = whenIdle;
        failWaiting();
        loop.atTurnEnd(turnEnd);
    }

    /** Gives everything back. What the backend never answered fails. On a control thread. */
    @Override
    public void close() {
        if (loop.inLoop()) {
            return; // a user's close: the queue belongs to the device
        }
        CompletableFuture<Boolean> ready = new CompletableFuture<>();
        loop.execute(() -> {
            ended = true;
            for (int i = 0; i < requestOperation.length; i++) {
                if (requestOperation[i] >= 0) {
                    endRequest(i, -Errno.EIO.number());
                }
            }
            failWaiting();
            closed = true;
            ready.complete(true);
        });
        ready.join();
        events.close();
        giveBack(ringGref, ringPages);
        giveBack(grefs, pages);
        arena.close();
    }

    /** What the backend still uses stays granted: its pages must not become somebody else's. */
    private void giveBack(int[] granted, Granter.Pages memory) {
        boolean allEnded = true;
        for (int gref : granted) {
            allEnded &= guest.end(gref);
        }
        if (allEnded) {
            guest.freeGrefs(granted);
            guest.freePages(memory);
        }
    }

    @Override
    public void read(long offsetBytes, ScatterList into, Completion done, int tag) {
        start(Blkif.OP_READ, offsetBytes, into, done, tag);
    }

    @Override
    public void write(long offsetBytes, ScatterList from, Completion done, int tag) {
        start(Blkif.OP_WRITE, offsetBytes, from, done, tag);
    }

    @Override
    public void flush(Completion done, int tag) {
        start(Blkif.OP_FLUSH_DISKCACHE, 0, none, done, tag);
    }

    @Override
    public void discard(long offsetBytes, long lengthBytes, boolean secure, Completion done, int tag) {
        loop.execute(() -> done.onCompletion(tag, -Errno.EOPNOTSUPP.number()));
    }

    @Override
    public void writeZeroes(long offsetBytes, long lengthBytes, boolean mayDiscard, Completion done, int tag) {
        loop.execute(() -> done.onCompletion(tag, -Errno.EOPNOTSUPP.number()));
    }

    private void start(int kind, long offset, ScatterList list, Completion done, int tag) {
        int operation = takeOperation();
        kinds[operation] = kind;
        lists[operation] = list;
        offsets[operation] = offset;
        sentBytes[operation] = 0;
        running[operation] = 0;
        errors[operation] = 0;
        dones[operation] = done;
        tags[operation] = tag;
        if (waitingTail - waitingHead == waiting.length) {
            growWaiting();
        }
        waiting[waitingTail++ & waiting.length - 1] = operation;
        loop.atTurnEnd(turnEnd);
    }

    private void finishTurn() {
        if (closed) {
            return; // signalled before the end, called after it
        }
        if (events.takePending(pendingPorts) > 0) {
            masked = true;
            sweepAgain = true;
        }
        if (sweepAgain) {
            sweep();
        }
        if (ended) {
            failWaiting();
        } else {
            fill();
        }
        if (ring.push()) {
            events.notifyPort(port);
        }
        if (ended && freeRequestCount == freeRequests.length) {
            Runnable idle = onIdle;
            onIdle = () -> {};
            idle.run();
        }
    }

    /** Puts on the ring what waits and fits. */
    private void fill() {
        while (waitingHead != waitingTail && freeRequestCount > 0) {
            int operation = waiting[waitingHead & waiting.length - 1];
            send(operation);
            if (sentBytes[operation] == lists[operation].totalBytes()) {
                waitingHead++;
            }
        }
    }

    private void send(int operation) {
        int number = freeRequests[--freeRequestCount];
        ScatterList list = lists[operation];
        long start = sentBytes[operation];
        int bytes = (int) Math.min(REQUEST_BYTES, list.totalBytes() - start);
        boolean write = kinds[operation] == Blkif.OP_WRITE;
        long at = (long) number * REQUEST_BYTES;
        if (write) {
            list.copyOut(start, pages.memory(), at, bytes);
        }
        request.compose(kinds[operation], number, (offsets[operation] + start) / BlkifLayout.SECTOR_BYTES);
        for (int done = 0, page = number * BlkifLayout.MAX_SEGMENTS; done < bytes; done += PAGE_BYTES, page++) {
            int sectors = Math.min(PAGE_BYTES, bytes - done) / BlkifLayout.SECTOR_BYTES;
            guest.grant(grefs[page], backendDomid, pages.firstFrame() + page, write);
            request.addSegment(grefs[page], 0, sectors - 1);
        }
        request.encode(slot, layout, handle);
        ring.putRequest(slot, layout.requestBytes());
        requestOperation[number] = operation;
        requestStart[number] = start;
        requestBytes[number] = bytes;
        running[operation]++;
        sentBytes[operation] = start + bytes;
    }

    private void sweep() {
        sweepAgain = false;
        for (int round = 0; round < ROUNDS_PER_TURN; round++) {
            if (!ring.beginSweep()) {
                badResponses++; // a broken backend: nothing it says is believed any more
                return;
            }
            while (ring.takeResponse(slot, layout.responseBytes())) {
                onResponse(BlkifResponse.id(slot), BlkifResponse.status(slot));
            }
            if (!ring.rearm()) {
                if (masked) {
                    masked = false;
                    events.unmask(port);
                }
                return;
            }
        }
        sweepAgain = true;
        loop.atTurnEnd(turnEnd);
    }

    private void onResponse(long id, short status) {
        if (id < 0 || id >= requestOperation.length || requestOperation[(int) id] < 0) {
            badResponses++; // an answer to nothing
            return;
        }
        int number = (int) id;
        int operation = requestOperation[number];
        if (status == Blkif.STATUS_OKAY && kinds[operation] == Blkif.OP_READ) {
            lists[operation].copyIn(
                    requestStart[number], pages.memory(), (long) number * REQUEST_BYTES, requestBytes[number]);
        }
        int result = switch (status) {
            case Blkif.STATUS_OKAY -> 0;
            case Blkif.STATUS_EOPNOTSUPP -> -Errno.EOPNOTSUPP.number();
            default -> -Errno.EIO.number();
        };
        endRequest(number, result);
    }

    private void endRequest(int number, int result) {
        int operation = requestOperation[number];
        for (int done = 0, page = number * BlkifLayout.MAX_SEGMENTS;
                done < requestBytes[number];
                done += PAGE_BYTES, page++) {
            if (!guest.end(grefs[page])) {
                badResponses++; // answered, and still in use: the backend broke the rule
            }
        }
        requestOperation[number] = -1;
        freeRequests[freeRequestCount++] = number;
        if (result < 0) {
            errors[operation] = result;
        }
        running[operation]--;
        if (running[operation] == 0 && sentBytes[operation] == lists[operation].totalBytes()) {
            endOperation(operation, errors[operation]);
        }
    }

    /** Ends what has not gone to the ring; an operation with requests still on it ends with the last of them. */
    private void failWaiting() {
        while (waitingHead != waitingTail) {
            int operation = waiting[waitingHead++ & waiting.length - 1];
            errors[operation] = -Errno.EIO.number();
            sentBytes[operation] = lists[operation].totalBytes();
            if (running[operation] == 0) {
                endOperation(operation, errors[operation]);
            }
        }
    }

    private void endOperation(int operation, int result) {
        Completion done = dones[operation];
        dones[operation] = NOBODY;
        freeOperations[freeOperationCount++] = operation;
        done.onCompletion(tags[operation], result);
    }

    private int takeOperation() {
        if (freeOperationCount == 0) {
            growOperations();
        }
        return freeOperations[--freeOperationCount];
    }

    private void growOperations() {
        int old = kinds.length;
        int capacity = Math.max(64, old * 2);
        kinds = Arrays.copyOf(kinds, capacity);
        lists = Arrays.copyOf(lists, capacity);
        offsets = Arrays.copyOf(offsets, capacity);
        sentBytes = Arrays.copyOf(sentBytes, capacity);
        running = Arrays.copyOf(running, capacity);
        errors = Arrays.copyOf(errors, capacity);
        dones = Arrays.copyOf(dones, capacity);
        tags = Arrays.copyOf(tags, capacity);
        freeOperations = new int[capacity];
        for (int operation = capacity - 1; operation >= old; operation--) {
            freeOperations[freeOperationCount++] = operation;
        }
    }

    private void growWaiting() {
        int[] larger = new int[waiting.length * 2];
        int count = waitingTail - waitingHead;
        for (int i = 0; i < count; i++) {
            larger[i] = waiting[waitingHead + i & waiting.length - 1];
        }
        waiting = larger;
        waitingHead = 0;
        waitingTail = count;
    }

    @Override
    public String toString() {
        return name + ": " + ring + ", " + badResponses + " bad responses";
    }
}
