package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import xenback.xen.XenException;

/**
 * A file or memfd mapped into this process. The memory belongs to the arena that it was mapped with: closing that arena
 * unmaps, and any access that comes later throws instead of crashing the JVM.
 */
public final class Mapping {
    static final int PROT_READ = 1;
    static final int PROT_WRITE = 2;
    static final int MAP_SHARED = 1;
    static final int MAP_PRIVATE = 2;
    static final int MAP_FIXED = 0x10;
    static final int MAP_ANONYMOUS = 0x20;
    static final int MAP_NORESERVE = 0x4000;
    static final int MAP_POPULATE = 0x8000;

    private static final int ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

    private Mapping() {}

    /** Maps {@code length} bytes of {@code fd} from {@code offset} on, shared. */
    public static MemorySegment map(Arena arena, int fd, long offset, long length, boolean writable)
            throws XenException {
        int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
        long address = Native.check(
                "mmap " + length + " bytes",
                (scratch, state) -> Libc.mmap(state, 0, length, protection, MAP_SHARED, fd, offset));
        return adopt(arena, address, length);
    }

    /** As {@link #map} with the pages present from the start: for the rings of io_uring. */
    static MemorySegment mapPopulated(Arena arena, int fd, long offset, long length) throws XenException {
        long address = Native.check(
                "mmap of an io_uring",
                (scratch, state) ->
                        Libc.mmap(state, 0, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset));
        return adopt(arena, address, length);
    }

    /**
     * Maps single pages of one descriptor next to each other, in the given order.
     *
     * @param offsets where each page starts in {@code fd}, bytes
     * @param pageBytes the size of each
     */
    public static MemorySegment mapPages(Arena arena, int fd, long[] offsets, long pageBytes, boolean writable)
            throws XenException {
        long length = pageBytes * offsets.length;
        int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
        // Reserve the range first, so that nothing else can be placed between the pages.
        long base =
                Native.check("mmap of a range", (scratch, state) -> Libc.mmap(state, 0, length, 0, ANONYMOUS, -1, 0));
        for (int i = 0; i < offsets.length; i++) {
            long address = base + pageBytes * i;
            long offset = offsets[i];
            long result = Native.call((scratch, state) ->
                    Libc.mmap(state, address, pageBytes, protection, MAP_SHARED | MAP_FIXED, fd, offset));
            if (result < 0) {
                unmap(base, length);
                throw Native.failure("mmap of a page", (int) -result);
            }
        }
        return adopt(arena, base, length);
    }

    /** Zeroed memory of this process, given page by page when it is first touched. */
    public static MemorySegment anonymous(Arena arena, long length) throws XenException {
        long address = Native.check(
                "mmap of " + length + " bytes",
                (scratch, state) -> Libc.mmap(state, 0, length, PROT_READ | PROT_WRITE, ANONYMOUS, -1, 0));
        return adopt(arena, address, length);
    }

    /**
     * Maps a part of a descriptor over a part of {@code memory}, which is {@link #anonymous}. Nobody may be using that part. If
     * it is not writable, a write to it ends this process: its user knows better.
     *
     * @return 0 or a negative errno; then what was there before is still there
     */
    public static int mapOver(MemorySegment memory, long at, long length, int fd, long offset, boolean writable) {
        int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
        long address = memory.asSlice(at, length).address();
        long result = Native.call(
                (scratch, state) -> Libc.mmap(state, address, length, protection, MAP_SHARED | MAP_FIXED, fd, offset));
        return result < 0 ? (int) result : 0;
    }

    /** Undoes {@link #mapOver}: the part is zeroed memory of this process again. */
    public static void unmapOver(MemorySegment memory, long at, long length) {
        long address = memory.asSlice(at, length).address();
        long result = Native.call((scratch, state) ->
                Libc.mmap(state, address, length, PROT_READ | PROT_WRITE, ANONYMOUS | MAP_FIXED, -1, 0));
        if (result < 0) {
            throw new IllegalStateException("mmap over a mapping: errno " + -result);
        }
    }

    @SuppressWarnings("restricted") // gives the mapped address its size, its owner and its end
    private static MemorySegment adopt(Arena arena, long address, long length) {
        return MemorySegment.ofAddress(address).reinterpret(length, arena, mapped -> unmap(address, length));
    }

    private static void unmap(long address, long length) {
        Native.call((scratch, state) -> Libc.munmap(state, address, length));
    }
}
