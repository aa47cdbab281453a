package xenback.block.nbd;

/**
 * Buffers of power-of-two payloads from 4 KiB to 32 MiB for all connections of one loop. The buffer given back last is
 * taken first, because it is still in the processor's cache. Unused buffers beyond {@link #KEPT_BYTES} are freed. One
 * thread.
 */
final class NbdBufferPool implements AutoCloseable {
    /** Unused memory kept for the next request, enough for 256 requests of 256 KiB. */
    static final long KEPT_BYTES = 64L << 20;

    private static final int SMALLEST_SHIFT = 12;
    private static final int CLASSES = 25 - SMALLEST_SHIFT + 1;
    private static final int KEPT_BUFFERS = 1024;

    private final NbdBuffer[][] unused = new NbdBuffer[CLASSES][KEPT_BUFFERS];
    private final int[] counts = new int[CLASSES];
    private long unusedBytes;
    private long takenBytes;

    /** Payload bytes of the class that serves {@code bytes} (1 to 32 MiB). */
    static long roundUp(long bytes) {
        return 1L << SMALLEST_SHIFT + sizeClass(bytes);
    }

    /** A buffer for at least {@code bytes} of payload with one reference, contents undefined. */
    NbdBuffer take(long bytes) {
        int sizeClass = sizeClass(bytes);
        int count = counts[sizeClass];
        NbdBuffer buffer;
        if (count == 0) {
            buffer = new NbdBuffer(sizeClass, 1L << SMALLEST_SHIFT + sizeClass);
        } else {
            buffer = unused[sizeClass][count - 1];
            counts[sizeClass] = count - 1;
            unusedBytes -= buffer.payloadBytes();
        }
        takenBytes += buffer.payloadBytes();
        buffer.references = 1;
        return buffer;
    }

    /** Takes back a buffer that nobody holds any more. */
    void give(NbdBuffer buffer) {
        assert buffer.references == 0 : "buffer with " + buffer.references + " references given back";
        takenBytes -= buffer.payloadBytes();
        int count = counts[buffer.sizeClass];
        if (count == KEPT_BUFFERS || unusedBytes + buffer.payloadBytes() > KEPT_BYTES) {
            buffer.free();
            return;
        }
        unused[buffer.sizeClass][count] = buffer;
        counts[buffer.sizeClass] = count + 1;
        unusedBytes += buffer.payloadBytes();
    }

    long unusedBytes() {
        return unusedBytes;
    }

    /** Payload bytes of all buffers that are out. */
    long takenBytes() {
        return takenBytes;
    }

    /** Frees what is unused; what is out must have come back. */
    @Override
    public void close() {
        for (int sizeClass = 0; sizeClass < CLASSES; sizeClass++) {
            for (int i = 0; i < counts[sizeClass]; i++) {
                unused[sizeClass][i].free();
            }
            counts[sizeClass] = 0;
        }
        unusedBytes = 0;
    }

    private static int sizeClass(long bytes) {
        assert bytes > 0 && bytes <= NbdProtocol.MAX_PAYLOAD_BYTES : bytes;
        return Math.max(0, Long.SIZE - SMALLEST_SHIFT - Long.numberOfLeadingZeros(bytes - 1));
    }
}
