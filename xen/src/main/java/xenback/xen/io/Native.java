package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import xenback.xen.Errno;
import xenback.xen.XenException;

/** Control-path use of {@link Libc}: what every caller needs around a call that may allocate. Any thread. */
final class Native {
    private Native() {}

    /** A call that gets its own errno state. */
    @FunctionalInterface
    interface Call {
        long run(Arena arena, MemorySegment state);
    }

    /** Runs a call and returns its result or negative errno. */
    static long call(Call call) {
        try (Arena arena = Arena.ofConfined()) {
            return call.run(arena, Libc.newState(arena));
        }
    }

    /** Runs a call whose failure is an exception that says what was tried. */
    static long check(String what, Call call) throws XenException {
        long result = call(call);
        if (result < 0) {
            throw failure(what, (int) -result);
        }
        return result;
    }

    static XenException failure(String what, int errno) {
        Errno name = Errno.of(errno);
        return new XenException(name, what + ": " + (name == Errno.UNKNOWN ? "errno " + errno : name.toString()));
    }

    static void close(int fd) {
        call((arena, state) -> Libc.close(state, fd));
    }
}
