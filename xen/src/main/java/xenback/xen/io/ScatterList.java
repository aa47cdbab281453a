package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.Objects;

/**
 * Pieces of native memory that one read or write fills or drains in order, kept both as segments (for Java) and as a
 * native array of {@code struct iovec} (for the kernel): base at 0 and length at 8 of 16 bytes each, {@code uio.h}.
 *
 * <p>Reused for ever, no allocation after construction, one thread at a time. From submission to completion of an
 * operation the list belongs to whoever performs it, which may shorten it from the front ({@link #advance}); the memory
 * behind it must stay alive as long.
 */
public final class ScatterList {
    /** Bytes of a {@code struct iovec}. */
    static final long IOVEC_BYTES = 16;

    private static final VarHandle BASE = ValueLayout.JAVA_LONG.varHandle().withInvokeExactBehavior();

    private final MemorySegment iovecs;
    private final MemorySegment[] memories;
    private final long[] offsets;
    private final long[] lengths;
    private int first;
    private int end;
    private long totalBytes;

    /** A list of up to {@code capacity} pieces whose native array lives as long as {@code arena}. */
    public ScatterList(int capacity, Arena arena) {
        iovecs = arena.allocate(IOVEC_BYTES * capacity, 8);
        memories = new MemorySegment[capacity];
        offsets = new long[capacity];
        lengths = new long[capacity];
        Arrays.fill(memories, MemorySegment.NULL);
    }

    /** Forgets all pieces. */
    public void clear() {
        first = 0;
        end = 0;
        totalBytes = 0;
    }

    /** Appends a piece; one that follows its predecessor in memory is merged with it. */
    public void add(MemorySegment memory, long offset, long length) {
        Objects.checkFromIndexSize(offset, length, memory.byteSize());
        if (length == 0) {
            return;
        }
        totalBytes += length;
        int last = end - 1;
        if (last >= first && offsets[last] + lengths[last] == offset && memories[last].equals(memory)) {
            lengths[last] += length;
            store(last);
            return;
        }
        int piece = Objects.checkIndex(end, memories.length);
        memories[piece] = memory;
        offsets[piece] = offset;
        lengths[piece] = length;
        end = piece + 1;
        store(piece);
    }

    /** Drops the first {@code bytes} bytes, because they are done. */
    public void advance(long bytes) {
        Objects.checkIndex(bytes, totalBytes + 1);
        long left = bytes;
        while (left > 0) {
            long step = Math.min(left, lengths[first]);
            offsets[first] += step;
            lengths[first] -= step;
            left -= step;
            if (lengths[first] == 0) {
                first++;
            } else {
                store(first);
            }
        }
        totalBytes -= bytes;
    }

    /** Bytes in all pieces together. */
    public long totalBytes() {
        return totalBytes;
    }

    /** Pieces left. */
    public int count() {
        return end - first;
    }

    /** The memory in which piece {@code piece} (from 0) lies. */
    public MemorySegment memory(int piece) {
        return memories[first + Objects.checkIndex(piece, count())];
    }

    /** Where piece {@code piece} starts in its memory, in bytes. */
    public long offset(int piece) {
        return offsets[first + Objects.checkIndex(piece, count())];
    }

    /** Bytes of piece {@code piece}. */
    public long length(int piece) {
        return lengths[first + Objects.checkIndex(piece, count())];
    }

    /** Copies {@code bytes} bytes of this list, from its byte {@code start} on, to {@code target}. */
    public void copyOut(long start, MemorySegment target, long targetOffset, long bytes) {
        Objects.checkFromIndexSize(start, bytes, totalBytes);
        long skip = start;
        long left = bytes;
        long at = targetOffset;
        for (int i = first; left > 0; i++) {
            long step = Math.min(left, lengths[i] - skip);
            if (step > 0) {
                MemorySegment.copy(memories[i], offsets[i] + skip, target, at, step);
                at += step;
                left -= step;
                skip = 0;
            } else {
                skip -= lengths[i];
            }
        }
    }

    /** Fills {@code bytes} bytes of this list, from its byte {@code start} on, from {@code source}. */
    public void copyIn(long start, MemorySegment source, long sourceOffset, long bytes) {
        Objects.checkFromIndexSize(start, bytes, totalBytes);
        long skip = start;
        long left = bytes;
        long at = sourceOffset;
        for (int i = first; left > 0; i++) {
            long step = Math.min(left, lengths[i] - skip);
            if (step > 0) {
                MemorySegment.copy(source, at, memories[i], offsets[i] + skip, step);
                at += step;
                left -= step;
                skip = 0;
            } else {
                skip -= lengths[i];
            }
        }
    }

    /** True if every piece starts and ends at a multiple of {@code alignment} (a power of two) in memory. */
    public boolean isAligned(int alignment) {
        long mixed = 0;
        for (int i = first; i < end; i++) {
            mixed |= memories[i].address() + offsets[i] | lengths[i];
        }
        return (mixed & alignment - 1) == 0;
    }

    /** Address of the first {@code struct iovec} that is left, for a system call. */
    public long iovecAddress() {
        return iovecs.address() + IOVEC_BYTES * first;
    }

    private void store(int piece) {
        BASE.set(iovecs, IOVEC_BYTES * piece, memories[piece].address() + offsets[piece]);
        BASE.set(iovecs, IOVEC_BYTES * piece + 8, lengths[piece]);
    }
}
