package xenback.block.nbd;

/**
 * The buffers one connection has out of the loop's pool. The loop's thread alone.
 *
 * <p>A connection may have {@link #MAX_BYTES}, but what is more than {@link #OWN_BYTES} comes out of {@link #SHARED_BYTES}
 * for all connections of the loop. Clients that hoard can thus use up the shared part and slow others down to their own
 * part, or one request at a time where that is longer; they cannot stop them.
 */
final class NbdHoldings {
    /** Most that one connection may hold. */
    static final long MAX_BYTES = 64L << 20;

    /** Held by all connections of a loop together, beyond which each has only its own part. */
    static final long SHARED_BYTES = 256L << 20;

    /** What a connection may hold however much the others do: its inbox and a ring full of small requests. */
    static final long OWN_BYTES = 4L << 20;

    private final NbdBufferPool pool;
    private long bytes;

    NbdHoldings(NbdBufferPool pool) {
        this.pool = pool;
    }

    long bytes() {
        return bytes;
    }

    /**
     * True if a buffer for so much payload stays within the bounds. Always true for a connection that holds nothing but
     * its inbox: one that is told no holds more, which will come back and is the time to ask again.
     */
    boolean affords(long payloadBytes) {
        long needed = NbdBufferPool.roundUp(payloadBytes);
        if (bytes <= NbdInbox.BUFFER_BYTES) {
            return true;
        }
        return bytes + needed <= OWN_BYTES || bytes + needed <= MAX_BYTES && pool.takenBytes() + needed <= SHARED_BYTES;
    }

    /** A buffer with one reference; the caller has asked {@link #affords}. */
    NbdBuffer take(long payloadBytes) {
        NbdBuffer buffer = pool.take(payloadBytes);
        bytes += buffer.payloadBytes();
        return buffer;
    }

    /** Drops one reference; the last one gives the buffer back. */
    void release(NbdBuffer buffer) {
        buffer.references--;
        if (buffer.references == 0) {
            bytes -= buffer.payloadBytes();
            pool.give(buffer);
        }
    }

    /** Drops what a request holds, if anything. */
    void release(NbdRequest request) {
        NbdBuffer buffer = request.buffer;
        if (buffer != null) {
            request.buffer = null;
            release(buffer);
        }
    }
}
