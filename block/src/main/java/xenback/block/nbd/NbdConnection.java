package xenback.block.nbd;

import static java.util.Objects.requireNonNull;
import static xenback.block.nbd.NbdBuffer.HEADER_ROOM;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;
import xenback.block.disk.DiskQueue;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.Sockets;

/**
 * The transmission phase of one client: receives many requests at a time, starts them on the disk, sends many replies at
 * a time. Nothing is allocated per request. All on the export's loop thread.
 *
 * <p>What a client can hold is bounded: {@link #MAX_REQUESTS} requests and the memory of {@link NbdHoldings}, from the
 * arrival of a request until its reply has left. At the bound nothing more is parsed or received, so that a client that
 * does not read its replies stalls itself.
 */
final class NbdConnection {
    static final int MAX_REQUESTS = 256;

    /** A payload longer than this that does not fit into the inbox is received where it is to stay, without a copy. */
    private static final int LONG_PAYLOAD_BYTES = 32 << 10;

    private enum State {
        OPEN,
        /** Takes no more requests; what runs is finished and answered. */
        DRAINING,
        /** The socket is shut down; waits for the operations that still use our memory. */
        ENDING,
        CLOSED
    }

    private final ServedExport served;
    private final EventLoop loop;
    private final DiskQueue queue;
    private final int fd;
    private final NbdAgreement agreement;
    private final Arena arena = Arena.ofShared();
    private final NbdRequest[] unused = new NbdRequest[MAX_REQUESTS];
    private final NbdRequest[] table = new NbdRequest[MAX_REQUESTS];
    private final NbdHoldings holdings;
    private final NbdInbox inbox;
    private final NbdReplies replies;
    private final NbdExtents extents;
    private final Completion onReceived = this::received;
    private final Completion onSent = this::sent;
    private final Completion onDisk = this::diskDone;
    private final EventLoop.TurnEnd turnEnd = new EventLoop.TurnEnd() {
        @Override
        protected void endTurn() {
            afterTurn();
        }
    };

    private State state = State.OPEN;
    private int unusedCount;

    /** Operations that the disk, or the thread of {@link #extents}, has. */
    private int inFlight;

    private boolean receiving;
    private boolean sending;

    /** True if the client's next request waits for something of ours to come back. */
    private boolean stalled;

    /** What the message at the front of the inbox takes in all, if it is a write that fits; else 0. */
    private int neededBytes;

    /** Payload of a refused write that is still to come. */
    private long skipBytes;

    /** The write whose payload is being received into its own buffer, and how much has arrived. */
    private @Nullable NbdRequest filling;

    private int filledBytes;

    NbdConnection(ServedExport served, DiskQueue queue, int fd, NbdAgreement agreement) {
        this.served = served;
        this.queue = queue;
        this.fd = fd;
        this.agreement = agreement;
        loop = served.export().loop();
        holdings = new NbdHoldings(served.pool());
        extents = new NbdExtents(served.export().disk(), loop, this::extentsDone);
        try {
            for (int number = MAX_REQUESTS - 1; number >= 0; number--) {
                NbdRequest request = new NbdRequest(number, arena);
                table[number] = request;
                unused[unusedCount++] = request;
            }
            replies = new NbdReplies(agreement.structured(), MAX_REQUESTS, arena);
            inbox = new NbdInbox(holdings.take(NbdInbox.BUFFER_BYTES));
        } catch (OutOfMemoryError e) {
            arena.close();
            throw e;
        }
    }

    /** Begins, with what the client sent before the handshake was over. */
    void start(MemorySegment early, long offset, int bytes) {
        MemorySegment.copy(early, offset, inbox.memory(), inbox.toOffset(), bytes);
        inbox.received(bytes);
        proceed();
        settle();
    }

    /** Finishes and answers what runs, then closes. */
    void drain() {
        if (state == State.OPEN) {
            state = State.DRAINING;
        }
        settle();
    }

    /** Cuts the connection; closes once nothing uses its memory any more. */
    void end() {
        if (state == State.OPEN || state == State.DRAINING) {
            state = State.ENDING;
            Sockets.shutdown(fd);
        }
        settle();
    }

    private void received(int tag, int result) {
        receiving = false;
        if (state != State.OPEN) { // what still came is not taken any more
            settle();
            return;
        }
        if (result <= 0) {
            hangUp(result);
        } else if (filling == null) {
            inbox.received(result);
        } else {
            fill(filling, result);
        }
        proceed();
        settle();
    }

    /** The client closed its side: properly only between requests. */
    private void hangUp(int result) {
        boolean midway = filling != null || skipBytes > 0 || inbox.available() > 0;
        if (result < 0 || midway) {
            served.counters().dropConnection();
        }
        state = State.DRAINING;
    }

    private void fill(NbdRequest request, int bytes) {
        filledBytes += bytes;
        if (filledBytes == request.lengthBytes) {
            filling = null;
            startWrite(request, requireNonNull(request.buffer).memory, HEADER_ROOM);
        }
    }

    private void proceed() {
        stalled = false;
        neededBytes = 0;
        try {
            while (state == State.OPEN && filling == null && takeNext()) {
                // each turn takes one request out of the table, so there are at most MAX_REQUESTS
            }
            receive();
        } catch (OutOfMemoryError e) {
            // Native memory, asked for before anything is changed. What runs gives some back; without that, this client
            // goes and the others stay.
            if (inFlight > 0 || !replies.isEmpty()) {
                stalled = true;
            } else {
                served.counters().dropConnection();
                end();
            }
        }
    }

    private void receive() {
        if (state != State.OPEN || receiving || stalled) {
            return;
        }
        if (filling != null) {
            receiving = true;
            int missing = (int) filling.lengthBytes - filledBytes;
            loop.recv(fd, requireNonNull(filling.buffer).memory, HEADER_ROOM + filledBytes, missing, onReceived, 0);
            return;
        }
        if (!inbox.makeRoom(neededBytes)) {
            if (!holdings.affords(NbdInbox.BUFFER_BYTES)) {
                stalled = true;
                return;
            }
            holdings.release(inbox.moveTo(holdings.take(NbdInbox.BUFFER_BYTES)));
        }
        receiving = true;
        loop.recv(fd, inbox.memory(), inbox.toOffset(), inbox.room(), onReceived, 0);
    }

    /** Takes one request out of the inbox; false if more must arrive, or something of ours must come back, first. */
    private boolean takeNext() {
        if (skipBytes > 0) {
            skipBytes -= inbox.drop(skipBytes);
        }
        if (skipBytes > 0 || inbox.available() < NbdProtocol.REQUEST_BYTES) {
            return false;
        }
        if (unusedCount == 0) {
            stalled = true;
            return false;
        }
        NbdRequest request = unused[unusedCount - 1];
        if (!request.decode(inbox.memory(), inbox.fromOffset())) {
            served.counters().dropConnection();
            end();
            return false;
        }
        if (request.command == NbdProtocol.CMD_DISC) {
            state = State.DRAINING;
            return false;
        }
        return begin(request);
    }

    /** Takes the request if it is refused, or all it needs is at hand; false leaves it in the inbox. */
    private boolean begin(NbdRequest request) {
        int error = NbdRules.check(
                request,
                agreement,
                served.export().disk().sizeBytes(),
                served.export().disk().logicalBlockBytes());
        boolean write = request.command == NbdProtocol.CMD_WRITE;
        if (error != NbdProtocol.OK || request.lengthBytes == 0 && request.command != NbdProtocol.CMD_FLUSH) {
            accept(request);
            skipBytes = write ? request.lengthBytes : 0;
            finish(request, error);
            return true;
        }
        if (write) {
            return beginWrite(request);
        }
        if (request.command == NbdProtocol.CMD_READ) {
            return beginRead(request);
        }
        if (request.command == NbdProtocol.CMD_BLOCK_STATUS) {
            return beginStatus(request);
        }
        accept(request);
        submitted();
        switch (request.command) {
            case NbdProtocol.CMD_FLUSH -> queue.flush(onDisk, request.number);
            case NbdProtocol.CMD_TRIM ->
                queue.discard(request.offsetBytes, request.lengthBytes, false, onDisk, request.number);
            case NbdProtocol.CMD_WRITE_ZEROES -> {
                boolean mayDiscard = (request.flags & NbdProtocol.CMD_FLAG_NO_HOLE) == 0;
                queue.writeZeroes(request.offsetBytes, request.lengthBytes, mayDiscard, onDisk, request.number);
            }
            default -> throw new IllegalStateException("command " + request.command + " passed the rules");
        }
        return true;
    }

    private boolean beginRead(NbdRequest request) {
        if (!holdings.affords(request.lengthBytes)) {
            stalled = true;
            return false;
        }
        NbdBuffer buffer = holdings.take(request.lengthBytes);
        accept(request);
        request.buffer = buffer;
        request.memory.clear();
        request.memory.add(buffer.memory, HEADER_ROOM, request.lengthBytes);
        submitted();
        queue.read(request.offsetBytes, request.memory, onDisk, request.number);
        return true;
    }

    private boolean beginStatus(NbdRequest request) {
        if (!holdings.affords(NbdExtents.REPLY_BYTES)) {
            stalled = true;
            return false;
        }
        NbdBuffer buffer = holdings.take(NbdExtents.REPLY_BYTES);
        accept(request);
        request.buffer = buffer;
        submitted();
        extents.ask(request);
        return true;
    }

    private boolean beginWrite(NbdRequest request) {
        int payloadBytes = (int) request.lengthBytes;
        int messageBytes = NbdProtocol.REQUEST_BYTES + payloadBytes;
        if (inbox.available() >= messageBytes) {
            accept(request);
            NbdBuffer buffer = inbox.buffer();
            buffer.references++;
            request.buffer = buffer;
            long at = inbox.fromOffset();
            inbox.took(payloadBytes);
            startWrite(request, buffer.memory, at);
            return true;
        }
        if (inbox.holds(messageBytes)) {
            neededBytes = messageBytes;
            return false;
        }
        if (payloadBytes <= LONG_PAYLOAD_BYTES) {
            return false; // the inbox makes room, which moves the little that is there
        }
        if (!holdings.affords(payloadBytes)) {
            stalled = true;
            return false;
        }
        NbdBuffer buffer = holdings.take(payloadBytes);
        accept(request);
        request.buffer = buffer;
        filledBytes = inbox.available();
        MemorySegment.copy(inbox.memory(), inbox.fromOffset(), buffer.memory, HEADER_ROOM, filledBytes);
        inbox.took(filledBytes);
        filling = request;
        return true;
    }

    private void startWrite(NbdRequest request, MemorySegment memory, long offset) {
        request.memory.clear();
        request.memory.add(memory, offset, request.lengthBytes);
        submitted();
        queue.write(request.offsetBytes, request.memory, onDisk, request.number);
    }

    private void accept(NbdRequest request) {
        inbox.took(NbdProtocol.REQUEST_BYTES);
        unusedCount--;
        request.flushing = false;
        served.counters().requested();
    }

    private void submitted() {
        inFlight++;
        served.counters().started();
    }

    private void diskDone(int number, int result) {
        inFlight--;
        served.counters().completed();
        NbdRequest request = table[number];
        if (result == 0 && request.fua() && request.modifies() && !request.flushing) {
            request.flushing = true;
            holdings.release(request);
            submitted();
            queue.flush(onDisk, number);
            return;
        }
        finish(request, NbdProtocol.errorOf(result));
        settle();
    }

    private void extentsDone(int number, int result) {
        inFlight--;
        served.counters().completed();
        table[number].replyPayloadBytes = (long) result * NbdExtents.DESCRIPTOR_BYTES;
        finish(table[number], result < 0 ? NbdProtocol.errorOf(result) : NbdProtocol.OK);
        settle();
    }

    /** Queues the reply. Memory goes back before that, except what the reply carries, so that the next takes it warm. */
    private void finish(NbdRequest request, int error) {
        request.error = error;
        if (error != NbdProtocol.OK) {
            served.counters().failed();
        } else if (request.command == NbdProtocol.CMD_READ) {
            request.replyPayloadBytes = request.lengthBytes;
            served.counters().read(request.lengthBytes);
        } else if (request.command == NbdProtocol.CMD_WRITE) {
            served.counters().written(request.lengthBytes);
        }
        if (error != NbdProtocol.OK || request.command == NbdProtocol.CMD_WRITE) {
            holdings.release(request);
        }
        replies.add(request);
        loop.atTurnEnd(turnEnd);
    }

    private void afterTurn() {
        if (state == State.CLOSED) {
            return;
        }
        if (stalled) {
            proceed();
        }
        send();
        settle();
    }

    private void send() {
        if (!sending && (state == State.OPEN || state == State.DRAINING) && replies.gather()) {
            sending = true;
            loop.sendv(fd, replies.list(), onSent, 0);
        }
    }

    private void sent(int tag, int result) {
        sending = false;
        if (result <= 0) {
            if (state == State.OPEN) {
                served.counters().dropConnection();
            }
            end();
            return;
        }
        replies.list().advance(result);
        if (state != State.ENDING && replies.list().totalBytes() > 0) {
            sending = true;
            loop.sendv(fd, replies.list(), onSent, 0);
            return;
        }
        while (replies.batched() > 0) {
            recycle(replies.takeBatched());
        }
        send();
        if (stalled) {
            loop.atTurnEnd(turnEnd);
        }
        settle();
    }

    private void settle() {
        if (state == State.DRAINING && inFlight == 0 && replies.isEmpty()) {
            state = State.ENDING;
            Sockets.shutdown(fd);
        }
        if (state == State.ENDING && inFlight == 0 && !receiving && !sending) {
            state = State.CLOSED;
            close();
        }
    }

    private void close() {
        while (replies.batched() > 0) {
            recycle(replies.takeBatched());
        }
        while (replies.readied() > 0) {
            recycle(replies.takeReady());
        }
        if (filling != null) {
            recycle(filling);
        }
        holdings.release(inbox.buffer());
        assert holdings.bytes() == 0 && unusedCount == MAX_REQUESTS : holdings.bytes() + " bytes, " + unusedCount;
        arena.close();
        Sockets.close(fd);
        served.left(this);
    }

    private void recycle(NbdRequest request) {
        holdings.release(request);
        unused[unusedCount++] = request;
    }
}
