package xenback.net.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Frames that other queues of an interface hand to one queue, because the guest's hash says so: a bounded queue with many
 * producers and one consumer, without lock and allocation. A place's turn is its number while it is empty for that turn, and
 * one more while it is full (D. Vyukov's bounded queue).
 */
final class FrameHandover {
    private static final int PLACES = 32;
    private static final int PLACE_BYTES = 65536 + 64;
    private static final VarHandle TURN = MethodHandles.arrayElementVarHandle(long[].class);

    private final MemorySegment memory;
    private final MemorySegment lengths;
    private final long[] turns = new long[PLACES];
    private final AtomicLong tail = new AtomicLong();
    private long head;

    FrameHandover(Arena arena) {
        memory = arena.allocate((long) PLACES * PLACE_BYTES, 64);
        lengths = arena.allocate(ValueLayout.JAVA_INT, PLACES);
        for (int i = 0; i < PLACES; i++) {
            turns[i] = i;
        }
    }

    /** Puts a frame in, header and all; false if there is no room. Any thread. */
    boolean offer(MemorySegment from, long at, int bytes) {
        while (true) {
            long mine = tail.get();
            int place = (int) (mine & PLACES - 1);
            long turn = (long) TURN.getAcquire(turns, place);
            if (turn < mine) {
                return false;
            }
            if (turn == mine && tail.compareAndSet(mine, mine + 1)) {
                MemorySegment.copy(from, at, memory, (long) place * PLACE_BYTES, bytes);
                lengths.setAtIndex(ValueLayout.JAVA_INT, place, bytes);
                TURN.setRelease(turns, place, mine + 1);
                return true;
            }
        }
    }

    /** True if there is nothing to take. The consumer's thread. */
    boolean isEmpty() {
        return (long) TURN.getAcquire(turns, (int) (head & PLACES - 1)) != head + 1;
    }

    /** Takes the oldest frame; its bytes, or -1 if there is none. The consumer's thread. */
    int take(MemorySegment into, long at) {
        if (isEmpty()) {
            return -1;
        }
        int place = (int) (head & PLACES - 1);
        int bytes = lengths.getAtIndex(ValueLayout.JAVA_INT, place);
        MemorySegment.copy(memory, (long) place * PLACE_BYTES, into, at, bytes);
        TURN.setRelease(turns, place, head + PLACES);
        head++;
        return bytes;
    }
}
