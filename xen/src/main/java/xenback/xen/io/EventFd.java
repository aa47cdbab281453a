package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import xenback.xen.XenException;

/** A kernel counter that polls readable while it is not zero ({@code eventfd(2)}, non-blocking). */
public final class EventFd implements AutoCloseable {
    private static final int EFD_CLOEXEC = 0x80000;
    private static final int EFD_NONBLOCK = 0x800;

    private final int fd;
    private final MemorySegment one = Arena.ofAuto().allocate(8, 8);
    private final MemorySegment sink = Arena.ofAuto().allocate(8, 8);

    // write(2) to a counter and read(2) from a non-blocking one fail only in ways that do not matter here (EAGAIN).
    private final MemorySegment ignoredState = Libc.newState(Arena.ofAuto());
    private boolean closed;

    private EventFd(int fd) {
        this.fd = fd;
        one.set(ValueLayout.JAVA_LONG, 0, 1);
    }

    public static EventFd create() throws XenException {
        return new EventFd(
                (int) Native.check("eventfd", (arena, state) -> Libc.eventfd(state, 0, EFD_CLOEXEC | EFD_NONBLOCK)));
    }

    public int fd() {
        return fd;
    }

    /** Adds one: whoever polls the descriptor wakes. Nothing happens after {@link #close}. Any thread, no allocation. */
    public synchronized void signal() {
        // Under the lock, for a number that was closed may be somebody else's file by now.
        if (!closed) {
            Libc.write(ignoredState, fd, one.address(), 8);
        }
    }

    /** Sets the counter back to zero. Any thread, no allocation. */
    public synchronized void reset() {
        if (!closed) {
            Libc.tryRead(fd, sink.address(), 8);
        }
    }

    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            Native.close(fd);
        }
    }
}
