package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Objects;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * An open character device that is spoken to with ioctl, read and write, opened non-blocking and close-on-exec. Results are
 * what the call returns or a negative errno. Memory that is passed is native and the caller's, alive over the call.
 *
 * <p>Methods named {@code ...Control} may be used by any thread and allocate; the others belong to one thread at a time, for
 * they share a place for errno.
 */
public final class DeviceFile implements AutoCloseable {
    private static final int O_RDWR = 2;
    private static final int O_NONBLOCK = 0x800;
    private static final int O_CLOEXEC = 0x80000;

    // struct pollfd (poll.h)
    private static final int POLLFD_BYTES = 8;
    private static final int POLLFD_EVENTS = 4;

    private final Path path;
    private final int fd;
    private final MemorySegment state = Libc.newState(Arena.ofAuto());

    private DeviceFile(Path path, int fd) {
        this.path = path;
        this.fd = fd;
    }

    /** Opens for reading and writing. The exception names the path and carries the errno. */
    public static DeviceFile open(Path path) throws XenException {
        int fd = (int) Native.check(
                path.toString(),
                (arena, state) ->
                        Libc.open(state, arena.allocateFrom(path.toString()), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0));
        return new DeviceFile(path, fd);
    }

    public int fd() {
        return fd;
    }

    /** An ioctl of the data path. No allocation. */
    public int tryIoctl(long request, MemorySegment argument) {
        return Libc.tryIoctl(fd, request, argument.address());
    }

    /** An ioctl of the control path. */
    public int ioctlControl(long request, MemorySegment argument) {
        return (int) Native.call((arena, own) -> Libc.ioctl(own, fd, request, argument.address()));
    }

    /** As {@link #ioctlControl}, with an exception for a refusal. */
    public int ioctlChecked(String what, long request, MemorySegment argument) throws XenException {
        int result = ioctlControl(request, argument);
        if (result < 0) {
            throw Native.failure(path + ": " + what, -result);
        }
        return result;
    }

    /** Reads what is there; -EAGAIN if nothing is. No allocation. */
    public int read(MemorySegment into, int bytes) {
        return (int) Libc.read(state, fd, into.address(), bytes);
    }

    /** Writes in one call. No allocation. */
    public int write(MemorySegment from, int bytes) {
        return (int) Libc.write(state, fd, from.address(), bytes);
    }

    /** Reads to a place in memory; -1 if nothing could be read, mostly because nothing is there. No allocation. */
    public int tryRead(MemorySegment into, long offset, int bytes) {
        long address = into.address() + Objects.checkFromIndexSize(offset, bytes, into.byteSize());
        return (int) Libc.tryRead(fd, address, bytes);
    }

    /** Writes from a place in memory in one call. No allocation. */
    public int write(MemorySegment from, long offset, int bytes) {
        long address = from.address() + Objects.checkFromIndexSize(offset, bytes, from.byteSize());
        return (int) Libc.write(state, fd, address, bytes);
    }

    /** An ioctl of the control path whose argument is a number, with an exception for a refusal. */
    public void ioctlValue(String what, long request, long value) throws XenException {
        Native.check(what, (arena, own) -> Libc.ioctl(own, fd, request, value));
    }

    /** Writes in one call, on the control path. */
    public int writeControl(MemorySegment from, int bytes) {
        return (int) Native.call((arena, own) -> Libc.writeOnce(own, fd, from.address(), bytes));
    }

    /**
     * Waits until there is something to read, or until {@code wake} is signalled.
     *
     * @return false if it was woken
     */
    public boolean awaitReadable(EventFd wake) throws XenException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment fds = arena.allocate(POLLFD_BYTES * 2L, 8);
            fds.set(ValueLayout.JAVA_INT, 0, fd);
            fds.set(ValueLayout.JAVA_SHORT, POLLFD_EVENTS, (short) EventLoop.POLLIN);
            fds.set(ValueLayout.JAVA_INT, POLLFD_BYTES, wake.fd());
            fds.set(ValueLayout.JAVA_SHORT, POLLFD_BYTES + POLLFD_EVENTS, (short) EventLoop.POLLIN);
            MemorySegment own = Libc.newState(arena);
            int ready;
            do {
                ready = Libc.poll(own, fds, 2, -1);
            } while (ready == -Errno.EINTR.number());
            if (ready < 0) {
                throw Native.failure(path + ": poll", -ready);
            }
            return fds.get(ValueLayout.JAVA_SHORT, POLLFD_BYTES + 6) == 0;
        }
    }

    /** Maps a part of the device, shared; see {@link Mapping#map}. */
    public MemorySegment map(Arena arena, long offset, long length, boolean writable) throws XenException {
        return Mapping.map(arena, fd, offset, length, writable);
    }

    /** Maps a part of the device over a part of {@code memory}; see {@link Mapping#mapOver}. */
    public int mapOver(MemorySegment memory, long at, long length, long offset, boolean writable) {
        return Mapping.mapOver(memory, at, length, fd, offset, writable);
    }

    @Override
    public void close() {
        Native.close(fd);
    }
}
