package xenback.block.nbd;

import static java.util.Objects.requireNonNull;
import static xenback.block.nbd.NbdBuffer.HEADER_ROOM;
import static xenback.block.nbd.NbdProtocol.U16;
import static xenback.block.nbd.NbdProtocol.U32;
import static xenback.block.nbd.NbdProtocol.U64;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import xenback.xen.io.ScatterList;

/**
 * Replies of one connection: encoded when they become ready, gathered in order, sent many at a time. A reply with data
 * is one piece of memory, header directly before the data; one without lies in a small table. The loop's thread alone.
 */
final class NbdReplies {
    /** A batch takes no further reply after so many bytes, so that memory comes back while much is to be sent. */
    private static final int BATCH_BYTES = 1 << 20;

    private static final int HEADER_STRIDE = 32;

    private final boolean structured;
    private final NbdRequest[] ready;
    private final NbdRequest[] batch;
    private final MemorySegment headers;
    private final ScatterList list;
    private int readyFirst;
    private int readyCount;
    private int batchCount;

    NbdReplies(boolean structured, int requests, Arena arena) {
        this.structured = structured;
        ready = new NbdRequest[requests];
        batch = new NbdRequest[requests];
        headers = arena.allocate((long) requests * HEADER_STRIDE, 64);
        list = new ScatterList(requests, arena);
    }

    /** Encodes the reply of a request that is done and queues it. */
    void add(NbdRequest request) {
        if (request.error != NbdProtocol.OK) {
            encodeError(request);
        } else if (request.command == NbdProtocol.CMD_READ && structured) {
            encodeRead(request);
        } else if (request.command == NbdProtocol.CMD_BLOCK_STATUS) {
            encodeStatus(request);
        } else {
            encodeSimple(request, NbdProtocol.OK);
        }
        ready[(readyFirst + readyCount) % ready.length] = request;
        readyCount++;
    }

    boolean isEmpty() {
        return readyCount == 0 && batchCount == 0;
    }

    /** Fills {@link #list} with the next batch; false if nothing is ready. */
    boolean gather() {
        assert batchCount == 0;
        list.clear();
        while (readyCount > 0 && list.totalBytes() < BATCH_BYTES) {
            NbdRequest request = takeReady();
            batch[batchCount++] = request;
            NbdBuffer buffer = request.buffer;
            if (buffer == null) {
                list.add(headers, headerAt(request), request.replyHeaderBytes);
            } else {
                list.add(
                        buffer.memory,
                        HEADER_ROOM - request.replyHeaderBytes,
                        request.replyHeaderBytes + request.replyPayloadBytes);
            }
        }
        return batchCount > 0;
    }

    /** What is left of the batch. */
    ScatterList list() {
        return list;
    }

    /** Takes a request whose reply has left, or will never leave; empty-handed callers see {@link #batched} first. */
    NbdRequest takeBatched() {
        return batch[--batchCount];
    }

    int batched() {
        return batchCount;
    }

    /** Takes the oldest reply that is not in a batch yet. */
    NbdRequest takeReady() {
        NbdRequest request = ready[readyFirst];
        readyFirst = (readyFirst + 1) % ready.length;
        readyCount--;
        return request;
    }

    int readied() {
        return readyCount;
    }

    private static long headerAt(NbdRequest request) {
        return (long) request.number * HEADER_STRIDE;
    }

    /** One OFFSET_DATA chunk with DONE: the data is complete before its header is written. */
    private void encodeRead(NbdRequest request) {
        NbdBuffer buffer = request.buffer;
        if (buffer == null) { // a read of nothing: OFFSET_DATA must describe at least one byte
            request.replyHeaderBytes = NbdProtocol.CHUNK_HEADER_BYTES;
            encodeChunk(headers, headerAt(request), request, NbdProtocol.CHUNK_NONE, 0);
            return;
        }
        request.replyHeaderBytes = NbdProtocol.CHUNK_HEADER_BYTES + 8;
        long at = (long) HEADER_ROOM - request.replyHeaderBytes;
        encodeChunk(buffer.memory, at, request, NbdProtocol.CHUNK_OFFSET_DATA, 8 + (int) request.replyPayloadBytes);
        buffer.memory.set(U64, HEADER_ROOM - 8, request.offsetBytes);
    }

    private static void encodeStatus(NbdRequest request) {
        NbdBuffer buffer = requireNonNull(request.buffer);
        request.replyHeaderBytes = NbdProtocol.CHUNK_HEADER_BYTES + NbdExtents.CONTEXT_BYTES;
        long at = (long) HEADER_ROOM - request.replyHeaderBytes;
        int payloadBytes = NbdExtents.CONTEXT_BYTES + (int) request.replyPayloadBytes;
        encodeChunk(buffer.memory, at, request, NbdProtocol.CHUNK_BLOCK_STATUS, payloadBytes);
        buffer.memory.set(U32, HEADER_ROOM - NbdExtents.CONTEXT_BYTES, NbdExtents.CONTEXT_ID);
    }

    /** Reads and block status must be answered by chunks where those were negotiated; for others the shorter form does. */
    private void encodeError(NbdRequest request) {
        boolean chunk = structured
                && (request.command == NbdProtocol.CMD_READ || request.command == NbdProtocol.CMD_BLOCK_STATUS);
        if (!chunk) {
            encodeSimple(request, request.error);
            return;
        }
        request.replyHeaderBytes = NbdProtocol.CHUNK_HEADER_BYTES + NbdProtocol.CHUNK_ERROR_PAYLOAD_BYTES;
        long at = headerAt(request);
        encodeChunk(headers, at, request, NbdProtocol.CHUNK_ERROR, NbdProtocol.CHUNK_ERROR_PAYLOAD_BYTES);
        headers.set(U32, at + NbdProtocol.CHUNK_HEADER_BYTES, request.error);
        headers.set(U16, at + NbdProtocol.CHUNK_HEADER_BYTES + 4, (short) 0);
    }

    private void encodeSimple(NbdRequest request, int error) {
        request.replyHeaderBytes = NbdProtocol.SIMPLE_REPLY_BYTES;
        NbdBuffer buffer = request.buffer;
        MemorySegment into = buffer == null ? headers : buffer.memory;
        long at = buffer == null ? headerAt(request) : HEADER_ROOM - NbdProtocol.SIMPLE_REPLY_BYTES;
        into.set(U32, at, NbdProtocol.SIMPLE_REPLY_MAGIC);
        into.set(U32, at + 4, error);
        into.set(U64, at + 8, request.cookie);
    }

    private static void encodeChunk(MemorySegment into, long at, NbdRequest request, int type, int payloadBytes) {
        into.set(U32, at, NbdProtocol.CHUNK_MAGIC);
        into.set(U16, at + 4, (short) NbdProtocol.CHUNK_FLAG_DONE);
        into.set(U16, at + 6, (short) type);
        into.set(U64, at + 8, request.cookie);
        into.set(U32, at + 16, payloadBytes);
    }
}
