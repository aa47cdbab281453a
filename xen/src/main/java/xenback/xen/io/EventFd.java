package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import xenback.xen.XenException;

/** A kernel counter that polls readable while it is not zero ({@code eventfd(2)}, non-blocking). */
public final class EventFd implements AutoCloseable {
    private static final int EFD_CLOEXEC = 0x80000;
    private static final int EFD_NONBLOCK = 0x800;

    private final Arena arena = Arena.ofShared();
    private final int fd;
    private final MemorySegment one;
    private final MemorySegment sink;

    // write(2) to a counter and read(2) from a non-blocking one fail only in ways that do not matter here (EAGAIN), so
    // all
    // threads may share one place for errno.
    private final MemorySegment ignoredState;

    private EventFd(int fd) {
        this.fd = fd;
        one = arena.allocate(8, 8);
        one.set(ValueLayout.JAVA_LONG, 0, 1);
        sink = arena.allocate(8, 8);
        ignoredState = Libc.newState(arena);
    }

    public static EventFd create() throws XenException {
        return new EventFd(
                (int) Native.check("eventfd", (arena, state) -> Libc.eventfd(state, 0, EFD_CLOEXEC | EFD_NONBLOCK)));
    }

    public int fd() {
        return fd;
    }

    /** Adds one: whoever polls the descriptor wakes. Any thread, no allocation. */
    public void signal() {
        Libc.write(ignoredState, fd, one.address(), 8);
    }

    /** Sets the counter back to zero. One thread at a time, no allocation. */
    public void reset() {
        Libc.read(ignoredState, fd, sink.address(), 8);
    }

    @Override
    public void close() {
        Native.close(fd);
        arena.close();
    }
}
