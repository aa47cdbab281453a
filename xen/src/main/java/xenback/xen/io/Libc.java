package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * The C library, one method per call, each a verb with types that returns what the call returns, or a negative errno.
 * Memory is passed as addresses: the caller owns it and keeps it alive over the call (for io_uring: over the operation).
 *
 * <p>errno is captured by the linker right after the call, into a small segment that each calling thread owns
 * ({@link #newState}); a shared one would be overwritten by another thread.
 *
 * <p>A call that captures makes a slice of that segment (SharedUtils.checkCaptureSegment), 40 bytes of heap each time until the
 * optimising compiler has seen it, which a call made once in 256 requests waits for in vain. The calls of the data path are
 * therefore made without; one that failed is made again to learn why, and what the second says stands. Only calls that have done
 * nothing when they fail are made so: never fdatasync and recv, which tell an error once. Those called try... never ask for the reason.
 */
final class Libc {
    private static final Linker LINKER = Linker.nativeLinker();
    private static final Linker.Option ERRNO = Linker.Option.captureCallState("errno");
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;

    /** io_uring_setup and io_uring_register: at most four arguments. Does not block. */
    private static final MethodHandle SYSCALL4 = bind("syscall", LONG, 1, LONG, LONG, LONG, LONG, LONG);

    /** io_uring_enter. Blocks when told to wait. */
    private static final MethodHandle ENTER = bindQuick("syscall", LONG, 1, LONG, INT, INT, INT, INT, LONG, LONG);

    private static final MethodHandle ENTER_AGAIN = bind("syscall", LONG, 1, LONG, INT, INT, INT, INT, LONG, LONG);

    private static final MethodHandle OPEN = bind("open", INT, 2, LONG, INT, INT);
    private static final MethodHandle CLOSE = bind("close", INT, INT);
    private static final MethodHandle READ = bindQuick("read", LONG, INT, LONG, LONG);
    private static final MethodHandle READ_AGAIN = bind("read", LONG, INT, LONG, LONG);
    private static final MethodHandle WRITE = bindQuick("write", LONG, INT, LONG, LONG);
    private static final MethodHandle WRITE_AGAIN = bind("write", LONG, INT, LONG, LONG);
    private static final MethodHandle PREADV = bindQuick("preadv", LONG, INT, LONG, INT, LONG);
    private static final MethodHandle PREADV_AGAIN = bind("preadv", LONG, INT, LONG, INT, LONG);
    private static final MethodHandle PWRITEV = bindQuick("pwritev", LONG, INT, LONG, INT, LONG);
    private static final MethodHandle PWRITEV_AGAIN = bind("pwritev", LONG, INT, LONG, INT, LONG);
    private static final MethodHandle FDATASYNC = bind("fdatasync", INT, INT);
    private static final MethodHandle FALLOCATE = bind("fallocate", INT, INT, INT, LONG, LONG);
    private static final MethodHandle LSEEK = bind("lseek", LONG, INT, LONG, INT);
    private static final MethodHandle FTRUNCATE = bind("ftruncate", INT, INT, LONG);
    private static final MethodHandle FCHMOD = bind("fchmod", INT, INT, INT);
    private static final MethodHandle FCNTL = bind("fcntl", INT, 2, INT, INT, LONG);
    private static final MethodHandle IOCTL = bind("ioctl", INT, 2, INT, LONG, LONG);
    private static final MethodHandle IOCTL_QUICK = bindQuick("ioctl", INT, 2, INT, LONG, LONG);
    private static final MethodHandle STATX = bind("statx", INT, INT, LONG, INT, INT, LONG);
    private static final MethodHandle FSTATFS = bind("fstatfs", INT, INT, LONG);
    private static final MethodHandle EVENTFD = bind("eventfd", INT, INT, INT);
    private static final MethodHandle POLL = bindQuick("poll", INT, LONG, LONG, INT);
    private static final MethodHandle POLL_AGAIN = bind("poll", INT, LONG, LONG, INT);
    private static final MethodHandle MMAP = bind("mmap", LONG, LONG, LONG, INT, INT, INT, LONG);
    private static final MethodHandle MUNMAP = bind("munmap", INT, LONG, LONG);
    private static final MethodHandle MEMFD_CREATE = bind("memfd_create", INT, LONG, INT);
    private static final MethodHandle SOCKET = bind("socket", INT, INT, INT, INT);
    private static final MethodHandle BIND = bind("bind", INT, INT, LONG, INT);
    private static final MethodHandle LISTEN = bind("listen", INT, INT, INT);
    private static final MethodHandle ACCEPT4 = bind("accept4", INT, INT, LONG, LONG, INT);
    private static final MethodHandle SHUTDOWN = bind("shutdown", INT, INT, INT);
    private static final MethodHandle SETSOCKOPT = bind("setsockopt", INT, INT, INT, INT, LONG, INT);
    private static final MethodHandle GETSOCKNAME = bind("getsockname", INT, INT, LONG, LONG);
    private static final MethodHandle SETNS = bind("setns", INT, INT, INT);
    private static final MethodHandle RECV = bind("recv", LONG, INT, LONG, LONG, INT);
    private static final MethodHandle RECV_QUICK = bindQuick("recv", LONG, INT, LONG, LONG, INT);
    private static final MethodHandle SENDMSG = bindQuick("sendmsg", LONG, INT, LONG, INT);
    private static final MethodHandle SENDMSG_AGAIN = bind("sendmsg", LONG, INT, LONG, INT);

    private static final long STATE_BYTES = Linker.Option.captureStateLayout().byteSize();

    private Libc() {}

    /** Where errno is captured for one thread; lives as long as {@code arena}. */
    static MemorySegment newState(Arena arena) {
        return arena.allocate(STATE_BYTES, 8);
    }

    static long ioUringSetup(MemorySegment state, int entries, MemorySegment params) {
        try {
            return result(state, (long) SYSCALL4.invokeExact(state, 425L, (long) entries, params.address(), 0L, 0L));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long ioUringRegister(MemorySegment state, int ring, int opcode, MemorySegment arg, int count) {
        try {
            return result(state, (long)
                    SYSCALL4.invokeExact(state, 427L, (long) ring, (long) opcode, arg.address(), (long) count));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long ioUringEnter(MemorySegment state, int ring, int toSubmit, int minComplete, int flags) {
        try {
            long value = (long) ENTER.invokeExact(426L, ring, toSubmit, minComplete, flags, 0L, 0L);
            return value != -1
                    ? value
                    : result(state, (long)
                            ENTER_AGAIN.invokeExact(state, 426L, ring, toSubmit, minComplete, flags, 0L, 0L));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int open(MemorySegment state, MemorySegment path, int flags, int mode) {
        try {
            return result(state, (int) OPEN.invokeExact(state, path.address(), flags, mode));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int close(MemorySegment state, int fd) {
        try {
            return result(state, (int) CLOSE.invokeExact(state, fd));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long read(MemorySegment state, int fd, long address, long length) {
        try {
            long value = (long) READ.invokeExact(fd, address, length);
            return value != -1 ? value : result(state, (long) READ_AGAIN.invokeExact(state, fd, address, length));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** What there is to read, or -1 and not why: for whom the reason makes no difference. */
    static long tryRead(int fd, long address, long length) {
        try {
            return (long) READ.invokeExact(fd, address, length);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long write(MemorySegment state, int fd, long address, long length) {
        try {
            long value = (long) WRITE.invokeExact(fd, address, length);
            return value != -1 ? value : result(state, (long) WRITE_AGAIN.invokeExact(state, fd, address, length));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** As {@link #write}, but never made twice: for a file that takes messages, in which a failed write may have left a part. */
    static long writeOnce(MemorySegment state, int fd, long address, long length) {
        try {
            return result(state, (long) WRITE_AGAIN.invokeExact(state, fd, address, length));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long preadv(MemorySegment state, int fd, long iovecs, int count, long offset) {
        try {
            long value = (long) PREADV.invokeExact(fd, iovecs, count, offset);
            return value != -1
                    ? value
                    : result(state, (long) PREADV_AGAIN.invokeExact(state, fd, iovecs, count, offset));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long pwritev(MemorySegment state, int fd, long iovecs, int count, long offset) {
        try {
            long value = (long) PWRITEV.invokeExact(fd, iovecs, count, offset);
            return value != -1
                    ? value
                    : result(state, (long) PWRITEV_AGAIN.invokeExact(state, fd, iovecs, count, offset));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int fdatasync(MemorySegment state, int fd) {
        try {
            return result(state, (int) FDATASYNC.invokeExact(state, fd));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int fallocate(MemorySegment state, int fd, int mode, long offset, long length) {
        try {
            return result(state, (int) FALLOCATE.invokeExact(state, fd, mode, offset, length));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long lseek(MemorySegment state, int fd, long offset, int whence) {
        try {
            return result(state, (long) LSEEK.invokeExact(state, fd, offset, whence));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int ftruncate(MemorySegment state, int fd, long length) {
        try {
            return result(state, (int) FTRUNCATE.invokeExact(state, fd, length));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int fchmod(MemorySegment state, int fd, int mode) {
        try {
            return result(state, (int) FCHMOD.invokeExact(state, fd, mode));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int fcntl(MemorySegment state, int fd, int command, long argument) {
        try {
            return result(state, (int) FCNTL.invokeExact(state, fd, command, argument));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int ioctl(MemorySegment state, int fd, long request, long argument) {
        try {
            return result(state, (int) IOCTL.invokeExact(state, fd, request, argument));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** What ioctl returns, -1 without a reason: for whom the reason makes no difference. */
    static int tryIoctl(int fd, long request, long argument) {
        try {
            return (int) IOCTL_QUICK.invokeExact(fd, request, argument);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int statx(MemorySegment state, int fd, MemorySegment path, int flags, int mask, MemorySegment buffer) {
        try {
            return result(state, (int) STATX.invokeExact(state, fd, path.address(), flags, mask, buffer.address()));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int fstatfs(MemorySegment state, int fd, MemorySegment buffer) {
        try {
            return result(state, (int) FSTATFS.invokeExact(state, fd, buffer.address()));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int eventfd(MemorySegment state, int initial, int flags) {
        try {
            return result(state, (int) EVENTFD.invokeExact(state, initial, flags));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int poll(MemorySegment state, MemorySegment pollfds, int count, int timeoutMillis) {
        try {
            int value = (int) POLL.invokeExact(pollfds.address(), (long) count, timeoutMillis);
            return value != -1
                    ? value
                    : result(
                            state, (int) POLL_AGAIN.invokeExact(state, pollfds.address(), (long) count, timeoutMillis));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long mmap(MemorySegment state, long address, long length, int protection, int flags, int fd, long offset) {
        try {
            return result(state, (long) MMAP.invokeExact(state, address, length, protection, flags, fd, offset));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int munmap(MemorySegment state, long address, long length) {
        try {
            return result(state, (int) MUNMAP.invokeExact(state, address, length));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int memfdCreate(MemorySegment state, MemorySegment name, int flags) {
        try {
            return result(state, (int) MEMFD_CREATE.invokeExact(state, name.address(), flags));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** Of the calling thread alone. */
    static int setns(MemorySegment state, int fd, int kind) {
        try {
            return result(state, (int) SETNS.invokeExact(state, fd, kind));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int socket(MemorySegment state, int domain, int type, int protocol) {
        try {
            return result(state, (int) SOCKET.invokeExact(state, domain, type, protocol));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int bind(MemorySegment state, int fd, MemorySegment address, int length) {
        try {
            return result(state, (int) BIND.invokeExact(state, fd, address.address(), length));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int listen(MemorySegment state, int fd, int backlog) {
        try {
            return result(state, (int) LISTEN.invokeExact(state, fd, backlog));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int accept4(MemorySegment state, int fd, int flags) {
        try {
            return result(state, (int) ACCEPT4.invokeExact(state, fd, 0L, 0L, flags));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int shutdown(MemorySegment state, int fd, int how) {
        try {
            return result(state, (int) SHUTDOWN.invokeExact(state, fd, how));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int setsockopt(MemorySegment state, int fd, int level, int name, MemorySegment value) {
        try {
            return result(state, (int)
                    SETSOCKOPT.invokeExact(state, fd, level, name, value.address(), (int) value.byteSize()));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int getsockname(MemorySegment state, int fd, MemorySegment address, MemorySegment length) {
        try {
            return result(state, (int) GETSOCKNAME.invokeExact(state, fd, address.address(), length.address()));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long recv(MemorySegment state, int fd, long address, long length, int flags) {
        try {
            return result(state, (long) RECV.invokeExact(state, fd, address, length, flags));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** What there is to receive, or -1 and not why. */
    static long tryRecv(int fd, long address, long length, int flags) {
        try {
            return (long) RECV_QUICK.invokeExact(fd, address, length, flags);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long sendmsg(MemorySegment state, int fd, long message, int flags) {
        try {
            long value = (long) SENDMSG.invokeExact(fd, message, flags);
            return value != -1 ? value : result(state, (long) SENDMSG_AGAIN.invokeExact(state, fd, message, flags));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** The kernel's text for an errno would be localised; numbers and names are what people search for. */
    private static long result(MemorySegment state, long value) {
        return value == -1 ? -state.get(INT, 0) : value;
    }

    private static int result(MemorySegment state, int value) {
        return value == -1 ? -state.get(INT, 0) : value;
    }

    private static IllegalStateException unexpected(Throwable e) {
        return new IllegalStateException("a downcall threw", e);
    }

    private static MethodHandle bind(String name, MemoryLayout result, MemoryLayout... arguments) {
        return link(name, FunctionDescriptor.of(result, arguments), ERRNO);
    }

    private static MethodHandle bind(String name, MemoryLayout result, int variadicFrom, MemoryLayout... arguments) {
        return link(
                name, FunctionDescriptor.of(result, arguments), ERRNO, Linker.Option.firstVariadicArg(variadicFrom));
    }

    /** Without errno. */
    private static MethodHandle bindQuick(String name, MemoryLayout result, MemoryLayout... arguments) {
        return link(name, FunctionDescriptor.of(result, arguments));
    }

    private static MethodHandle bindQuick(
            String name, MemoryLayout result, int variadicFrom, MemoryLayout... arguments) {
        return link(name, FunctionDescriptor.of(result, arguments), Linker.Option.firstVariadicArg(variadicFrom));
    }

    @SuppressWarnings("restricted") // the one place where C functions are bound
    private static MethodHandle link(String name, FunctionDescriptor descriptor, Linker.Option... options) {
        return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), descriptor, options);
    }
}
