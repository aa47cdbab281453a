package xenback.block.frontend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import xenback.block.disk.DiskQueue;
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
 * The frontend's queue: cuts operations into requests, carries their bytes through pages of the guest that are granted to the
 * backend, and puts what came in a turn on the ring with one notification.
 *
 * <p>On the loop's thread, except {@link #open} and {@link #close}. Operations wait in a queue for room on the ring and for
 * pages; the number in flight is bounded by the callers.
 */
final class XbdQueue implements DiskQueue {
    private static final int PAGE_BYTES = GrantCopyBatch.PAGE_BYTES;
    private static final int ROUNDS_PER_TURN = 4;
    private static final Completion NOBODY = (tag, result) -> {};

    /** A write of zeroes, which blkif has no operation for. */
    private static final int ZEROES = 0x100 | Blkif.OP_WRITE;

    private static final int SECURE_DISCARD = 0x100 | Blkif.OP_DISCARD;

    private final String name;
    private final Domain guest;
    private final int backendDomid;
    private final int handle;
    private final BlkifLayout layout;
    private final XbdOptions options;
    private final EventLoop loop;
    private final Arena arena = Arena.ofShared();
    private final EventChannels events;
    private final int port;
    private final Granter.Pages ringPages;
    private final int[] ringGrefs;
    private final FrontRing ring;
    private final ScatterList none = new ScatterList(1, arena);
    private final XbdPages pages;

    /** One page of zeroes, granted while the queue lives: every segment of a write of zeroes is this one. */
    private final XbdPages zeroes;

    private final int zeroPage;

    /** Descriptors of each request, by its number; null without indirect requests. */
    private final Granter.@Nullable Pages descriptorPages;

    private final int[] descriptorGrefs;

    // What belongs to a request on the ring, by its number, which is also its id.
    private final BlkifRequest request = new BlkifRequest();
    private final int[] requestOperation; // index of the operation it is a part of, -1 when idle
    private final long[] requestStart; // where its bytes start in the operation
    private final long[] requestBytes;
    private final int[][] requestPages;
    private final int[] requestPageCount;
    private final int[] freeRequests;
    private int freeRequestCount;

    // Operations by index, in parallel arrays.
    private int[] kinds = {};
    private ScatterList[] lists = {};
    private long[] offsets = {};
    private long[] lengths = {};
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
            String name,
            Domain guest,
            FrontendDriver.Address address,
            XbdOptions options,
            EventLoop loop,
            EventChannels events)
            throws XenException {
        this.name = name;
        this.guest = guest;
        this.options = options;
        this.loop = loop;
        this.events = events;
        backendDomid = address.backendDomid();
        handle = address.devid();
        layout = options.abi().layout();
        port = events.bindUnbound(backendDomid);
        ringPages = guest.allocatePages(1 << options.ringPageOrder());
        ring = new FrontRing(ringPages.memory(), layout.requestBytes());
        ringGrefs = granted(ringPages, false);
        int slots = ring.slots();
        pages = new XbdPages(
                guest, backendDomid, XbdPages.pages(slots, options.segments()), options.persistentGrants());
        zeroes = new XbdPages(guest, backendDomid, 1, options.persistentGrants());
        zeroPage = zeroes.take(true);
        int describing = slots * options.descriptorPages();
        descriptorPages = describing > 0 ? guest.allocatePages(describing) : null;
        descriptorGrefs = descriptorPages == null ? new int[0] : granted(descriptorPages, !options.persistentGrants());
        requestOperation = new int[slots];
        Arrays.fill(requestOperation, -1);
        requestStart = new long[slots];
        requestBytes = new long[slots];
        requestPages = new int[slots][options.segments()];
        requestPageCount = new int[slots];
        freeRequests = new int[slots];
        for (int i = 0; i < slots; i++) {
            freeRequests[i] = slots - 1 - i;
        }
        freeRequestCount = slots;
        slot = arena.allocate(layout.requestBytes(), 8);
    }

    /** Makes the ring and the port, and grants the ring to the backend. On a control thread. */
    static XbdQueue open(String name, Domain guest, FrontendDriver.Address address, XbdOptions options, EventLoop loop)
            throws XenException {
        EventChannels events = guest.openEventChannels(address.backendDomid());
        try {
            return new XbdQueue(name, guest, address, options, loop, events);
        } catch (XenException e) {
            events.close();
            throw e;
        }
    }

    private int[] granted(Granter.Pages memory, boolean readOnly) throws XenException {
        int[] grefs = guest.allocateGrefs((int) (memory.memory().byteSize() / PAGE_BYTES));
        for (int i = 0; i < grefs.length; i++) {
            guest.grant(grefs[i], backendDomid, memory.firstFrame() + i, readOnly);
        }
        return grefs;
    }

    EventLoop loop() {
        return loop;
    }

    /** Grants of the ring's pages, in order. */
    int[] ringGrefs() {
        return ringGrefs.clone();
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
        XbdPages.giveBack(guest, ringGrefs, ringPages);
        if (descriptorPages != null) {
            XbdPages.giveBack(guest, descriptorGrefs, descriptorPages);
        }
        zeroes.close();
        pages.close();
        arena.close();
    }

    @Override
    public void read(long offsetBytes, ScatterList into, Completion done, int tag) {
        start(Blkif.OP_READ, offsetBytes, into.totalBytes(), into, done, tag);
    }

    @Override
    public void write(long offsetBytes, ScatterList from, Completion done, int tag) {
        start(Blkif.OP_WRITE, offsetBytes, from.totalBytes(), from, done, tag);
    }

    @Override
    public void flush(Completion done, int tag) {
        start(options.barriers() ? Blkif.OP_WRITE_BARRIER : Blkif.OP_FLUSH_DISKCACHE, 0, 0, none, done, tag);
    }

    @Override
    public void discard(long offsetBytes, long lengthBytes, boolean secure, Completion done, int tag) {
        start(secure ? SECURE_DISCARD : Blkif.OP_DISCARD, offsetBytes, lengthBytes, none, done, tag);
    }

    /** By writes of zeroes, for what a discard leaves behind may read as anything (blkif.h). */
    @Override
    public void writeZeroes(long offsetBytes, long lengthBytes, boolean mayDiscard, Completion done, int tag) {
        start(ZEROES, offsetBytes, lengthBytes, none, done, tag);
    }

    private void start(int kind, long offset, long length, ScatterList list, Completion done, int tag) {
        int operation = takeOperation();
        kinds[operation] = kind;
        lists[operation] = list;
        offsets[operation] = offset;
        lengths[operation] = length;
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
            boolean carries = lists[operation] != none;
            if (carries && pages.freeCount() == 0) {
                return; // a response brings pages back
            }
            send(operation);
            if (sentBytes[operation] == lengths[operation]) {
                waitingHead++;
            }
        }
    }

    private void send(int operation) {
        int number = freeRequests[--freeRequestCount];
        int kind = kinds[operation];
        long start = sentBytes[operation];
        long bytes = lengths[operation] - start;
        request.compose(kind & 0xFF, number, (offsets[operation] + start) / BlkifLayout.SECTOR_BYTES);
        requestPageCount[number] = 0;
        switch (kind) {
            case Blkif.OP_READ, Blkif.OP_WRITE -> bytes = carry(number, operation, start, bytes);
            case ZEROES -> {
                bytes = Math.min(bytes, (long) options.segments() * PAGE_BYTES);
                for (long done = 0; done < bytes; done += PAGE_BYTES) {
                    addSegment(zeroes.gref(zeroPage), bytes - done);
                }
            }
            case Blkif.OP_DISCARD, SECURE_DISCARD ->
                request.discard(bytes / BlkifLayout.SECTOR_BYTES, kind == SECURE_DISCARD);
            default -> {} // a flush or a barrier, which carry nothing
        }
        encode(number);
        ring.putRequest(slot, layout.requestBytes());
        requestOperation[number] = operation;
        requestStart[number] = start;
        requestBytes[number] = bytes;
        running[operation]++;
        sentBytes[operation] = start + bytes;
    }

    /** Takes pages for as much of a read or a write as there are; returns how many bytes that is. */
    private long carry(int number, int operation, long start, long wanted) {
        boolean write = kinds[operation] == Blkif.OP_WRITE;
        long bytes = Math.min(wanted, (long) Math.min(options.segments(), pages.freeCount()) * PAGE_BYTES);
        int[] taken = requestPages[number];
        int count = 0;
        for (long done = 0; done < bytes; done += PAGE_BYTES) {
            int page = pages.take(write);
            taken[count++] = page;
            if (write) {
                lists[operation].copyOut(
                        start + done, pages.memory(), XbdPages.offset(page), Math.min(PAGE_BYTES, bytes - done));
            }
            addSegment(pages.gref(page), bytes - done);
        }
        requestPageCount[number] = count;
        return bytes;
    }

    private void addSegment(int gref, long bytesLeft) {
        request.addSegment(gref, 0, (int) Math.min(PAGE_BYTES, bytesLeft) / BlkifLayout.SECTOR_BYTES - 1);
    }

    private void encode(int number) {
        Granter.Pages describing = descriptorPages;
        if (describing == null || request.segmentCount() <= BlkifLayout.MAX_SEGMENTS) {
            request.encode(slot, layout, handle);
        } else {
            int first = number * options.descriptorPages();
            request.encodeIndirect(
                    slot, layout, handle, describing.memory(), XbdPages.offset(first), descriptorGrefs, first);
        }
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
            for (int i = 0; i < requestPageCount[number]; i++) {
                long done = (long) i * PAGE_BYTES;
                lists[operation].copyIn(
                        requestStart[number] + done,
                        pages.memory(),
                        XbdPages.offset(requestPages[number][i]),
                        Math.min(PAGE_BYTES, requestBytes[number] - done));
            }
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
        for (int i = requestPageCount[number] - 1;
                i >= 0;
                i--) { // so that the next request gets them in the same order
            if (!pages.give(requestPages[number][i])) {
                badResponses++; // answered, and still in use: the backend broke the rule
            }
        }
        requestOperation[number] = -1;
        freeRequests[freeRequestCount++] = number;
        if (result < 0) {
            errors[operation] = result;
        }
        running[operation]--;
        if (running[operation] == 0 && sentBytes[operation] == lengths[operation]) {
            endOperation(operation, errors[operation]);
        }
    }

    /** Ends what has not gone to the ring; an operation with requests still on it ends with the last of them. */
    private void failWaiting() {
        while (waitingHead != waitingTail) {
            int operation = waiting[waitingHead++ & waiting.length - 1];
            errors[operation] = -Errno.EIO.number();
            sentBytes[operation] = lengths[operation];
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
        lengths = Arrays.copyOf(lengths, capacity);
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
