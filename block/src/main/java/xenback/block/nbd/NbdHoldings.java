package xenback.block.nbd;

/** The buffers one connection has out of the loop's pool, within the connection's bound. The loop's thread alone. */
final class NbdHoldings {
    private final NbdBufferPool pool;
    private final long maxBytes;
    private long bytes;

    NbdHoldings(NbdBufferPool pool, long maxBytes) {
        this.pool = pool;
        this.maxBytes = maxBytes;
    }

    long bytes() {
        return bytes;
    }

    /** True if a buffer for so much payload stays within the bound. */
    boolean affords(long payloadBytes) {
        return bytes + NbdBufferPool.roundUp(payloadBytes) <= maxBytes;
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
