package xenback.block.nbd;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Native memory for one payload with room for a header before it, so that a reply is one contiguous piece. Owned by one
 * loop thread; the memory is shared because a disk may touch it from a thread of its own. Counted, because a receive
 * buffer is held by every write whose payload lies in it.
 */
final class NbdBuffer {
    /** Before the payload; keeps the payload aligned to 512 bytes for disks that bypass the page cache. */
    static final int HEADER_ROOM = 512;

    private static final long ALIGNMENT = 4096;

    private final Arena arena = Arena.ofShared();

    /** The header room and {@link #payloadBytes} after it. */
    final MemorySegment memory;

    /** Index of the size class in {@link NbdBufferPool}. */
    final int sizeClass;

    /** How many hold it; at 0 it goes back to the pool. */
    int references;

    NbdBuffer(int sizeClass, long payloadBytes) {
        this.sizeClass = sizeClass;
        memory = arena.allocate(HEADER_ROOM + payloadBytes, ALIGNMENT);
    }

    long payloadBytes() {
        return memory.byteSize() - HEADER_ROOM;
    }

    void free() {
        arena.close();
    }
}
