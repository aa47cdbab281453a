package xenback.net.link;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A bounded queue of records of bytes, from any number of threads to one, without locks or allocation. A record lies in one
 * piece behind its header, at a multiple of 8:
 *
 * <pre>
 *   size s32 @0 (header included; 0: not written yet; negative: nothing up to the end of the memory)   unused @4   bytes @8
 * </pre>
 *
 * Producers: {@link #claim}, write, {@link #commit}. The consumer: {@link #next} and {@link #bytes}, read, {@link #release}.
 */
final class FrameRing {
    private static final int HEADER_BYTES = 8;
    private static final VarHandle SIZE = ValueLayout.JAVA_INT.varHandle();
    private static final VarHandle WAITING;

    static {
        try {
            WAITING = MethodHandles.lookup().findVarHandle(FrameRing.class, "waiting", boolean.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** Freed with the last reference, so that a producer that comes late hits nobody. */
    private final MemorySegment memory;

    private final int capacity;
    private final AtomicLong head = new AtomicLong(); // moved by the consumer
    private final AtomicLong tail = new AtomicLong();

    @SuppressWarnings("unused") // through WAITING
    private volatile boolean waiting;

    /** @param capacityBytes a power of two; a record takes at most half of it */
    FrameRing(int capacityBytes) {
        if (capacityBytes < 64 || Integer.bitCount(capacityBytes) != 1) {
            throw new IllegalArgumentException("capacity " + capacityBytes);
        }
        capacity = capacityBytes;
        memory = Arena.ofAuto().allocate(capacityBytes, 64);
    }

    /** Where the records lie. */
    MemorySegment memory() {
        return memory;
    }

    /** Takes room for so many bytes, and tells where; negative if there is none. What is claimed must be committed. */
    long claim(int bytes) {
        int size = aligned(bytes);
        if (size > capacity / 2) {
            return -1;
        }
        while (true) {
            long begin = tail.get();
            int index = (int) begin & capacity - 1;
            int untilEnd = capacity - index;
            int skipped = size > untilEnd ? untilEnd : 0; // a record stays in one piece
            long end = begin + skipped + size;
            if (end - head.get() > capacity) {
                return -1;
            }
            if (tail.compareAndSet(begin, end)) {
                if (skipped > 0) {
                    SIZE.setRelease(memory, (long) index, -skipped);
                    index = 0;
                }
                return (long) index + HEADER_BYTES;
            }
        }
    }

    /** Hands over what was claimed; true if the consumer waits and is to be woken by the caller. */
    boolean commit(long at, int bytes) {
        SIZE.setRelease(memory, at - HEADER_BYTES, bytes + HEADER_BYTES);
        VarHandle.fullFence(); // commit, then look whether somebody waits; rearm does it the other way round
        return waiting && WAITING.compareAndSet(this, true, false);
    }

    /** Where the oldest record is; negative if there is none. */
    long next() {
        while (true) {
            long index = head.getPlain() & capacity - 1;
            int size = (int) SIZE.getAcquire(memory, index);
            if (size >= 0) {
                return size == 0 ? -1 : index + HEADER_BYTES;
            }
            free(index, -size);
        }
    }

    /** How many bytes the record has that {@link #next} found. */
    int bytes(long at) {
        return (int) SIZE.get(memory, at - HEADER_BYTES) - HEADER_BYTES;
    }

    /** Gives the room of that record back. */
    void release(long at) {
        free(at - HEADER_BYTES, aligned(bytes(at)));
    }

    /** Asks for a word with the next commit and looks once more; false: there is a record already, and no word will come. */
    boolean rearm() {
        WAITING.setVolatile(this, true);
        VarHandle.fullFence();
        // If a producer was faster, its word is under way.
        return next() < 0 || !WAITING.compareAndSet(this, true, false);
    }

    /** Nobody is to be woken any more. */
    void disarm() {
        WAITING.setVolatile(this, false);
    }

    private void free(long index, int size) {
        memory.asSlice(index, size).fill((byte) 0); // a header may come to stand anywhere in it
        head.setRelease(head.getPlain() + size);
    }

    private static int aligned(int bytes) {
        return bytes + HEADER_BYTES + 7 & -8;
    }
}
