package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import xenback.xen.XenException;

/** Memory with a descriptor ({@code memfd_create}), zeroed, which other processes could map too. */
public final class Memfd implements AutoCloseable {
    private static final int MFD_CLOEXEC = 1;

    private final int fd;
    private final long sizeBytes;

    private Memfd(int fd, long sizeBytes) {
        this.fd = fd;
        this.sizeBytes = sizeBytes;
    }

    /** @param name shown in /proc/self/fd and /proc/self/maps */
    public static Memfd create(String name, long sizeBytes) throws XenException {
        int fd = (int) Native.check(
                "memfd_create", (arena, state) -> Libc.memfdCreate(state, arena.allocateFrom(name), MFD_CLOEXEC));
        try {
            Native.check("a memfd of " + sizeBytes + " bytes", (arena, state) -> Libc.ftruncate(state, fd, sizeBytes));
        } catch (XenException e) {
            Native.close(fd);
            throw e;
        }
        return new Memfd(fd, sizeBytes);
    }

    public int fd() {
        return fd;
    }

    /** Maps the whole of it. Mappings outlive this object. */
    public MemorySegment map(Arena arena) throws XenException {
        return Mapping.map(arena, fd, 0, sizeBytes, true);
    }

    @Override
    public void close() {
        Native.close(fd);
    }
}
