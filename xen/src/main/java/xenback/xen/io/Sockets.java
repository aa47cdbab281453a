package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import xenback.xen.Errno;
import xenback.xen.XenException;

/** Sockets as descriptors, for event loops; java.nio keeps its own to itself. Control path, any thread. */
public final class Sockets {
    private static final int AF_UNIX = 1;
    private static final int AF_INET = 2;
    private static final int AF_INET6 = 10;
    private static final int SOCK_STREAM = 1;
    private static final int SOCK_CLOEXEC = 0x80000;
    private static final int SOL_SOCKET = 1;
    private static final int SO_REUSEADDR = 2;
    private static final int SO_SNDBUF = 7;
    private static final int IPPROTO_TCP = 6;
    private static final int TCP_NODELAY = 1;
    private static final int SHUT_RDWR = 2;

    /** sun_path of sockaddr_un holds 108 bytes with its end (unix(7)). */
    public static final int UNIX_PATH_MAX_BYTES = 107;

    private Sockets() {}

    /** Listens on a unix socket at {@code path}, which must not exist, for this user alone (mode
     * 0600). The caller closes the descriptor and the file. */
    public static int listenUnix(Path path, int backlog) throws XenException {
        byte[] name = path.toString().getBytes(StandardCharsets.UTF_8);
        if (name.length > UNIX_PATH_MAX_BYTES) {
            throw new XenException(
                    Errno.EINVAL,
                    path + ": a unix socket's path has at most " + UNIX_PATH_MAX_BYTES
                            + " bytes; choose a shorter one");
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = arena.allocate(2 + name.length + 1, 8);
            address.set(ValueLayout.JAVA_SHORT, 0, (short) AF_UNIX);
            MemorySegment.copy(name, 0, address, ValueLayout.JAVA_BYTE, 2, name.length);
            return listen(AF_UNIX, address, backlog, path.toString());
        }
    }

    /** Listens on a TCP address; port 0 takes a free one, see {@link #localPort}. */
    public static int listenTcp(InetSocketAddress where, int backlog) throws XenException {
        InetAddress host = where.getAddress();
        if (host == null) {
            throw new XenException(Errno.EINVAL, where.getHostString() + ": unknown host");
        }
        byte[] ip = host.getAddress();
        boolean v6 = ip.length == 16;
        try (Arena arena = Arena.ofConfined()) {
            // sockaddr_in: family @0, port @2 (network order), address @4; sockaddr_in6: address @8.
            MemorySegment address = arena.allocate(v6 ? 28 : 16, 8);
            address.set(ValueLayout.JAVA_SHORT, 0, (short) (v6 ? AF_INET6 : AF_INET));
            address.set(ValueLayout.JAVA_BYTE, 2, (byte) (where.getPort() >> 8));
            address.set(ValueLayout.JAVA_BYTE, 3, (byte) where.getPort());
            MemorySegment.copy(ip, 0, address, ValueLayout.JAVA_BYTE, v6 ? 8 : 4, ip.length);
            String name = (v6 ? "[" + host.getHostAddress() + "]" : host.getHostAddress()) + ":" + where.getPort();
            try {
                return listen(v6 ? AF_INET6 : AF_INET, address, backlog, name);
            } catch (XenException e) {
                String why = switch (e.errno()) {
                    case EADDRINUSE -> "another program listens there; choose another port";
                    case EADDRNOTAVAIL -> "this machine has no such address; choose one of its own";
                    case EACCES -> "permission denied; choose a port from 1024 on";
                    default -> e.errno().toString();
                };
                throw new XenException(e.errno(), name + ": " + why, e);
            }
        }
    }

    /** The port that a TCP socket is bound to. */
    public static int localPort(int fd) throws XenException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = arena.allocate(28, 8);
            MemorySegment length = arena.allocate(4, 4);
            length.set(ValueLayout.JAVA_INT, 0, 28);
            Native.check("getsockname", (scratch, state) -> Libc.getsockname(state, fd, address, length));
            return Byte.toUnsignedInt(address.get(ValueLayout.JAVA_BYTE, 2)) << 8
                    | Byte.toUnsignedInt(address.get(ValueLayout.JAVA_BYTE, 3));
        }
    }

    /** Sends small writes of a TCP socket at once. */
    public static void noDelay(int fd) throws XenException {
        setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    }

    /** Asks for room for {@code bytes} in the send direction; the kernel may give less. */
    public static void sendBuffer(int fd, int bytes) throws XenException {
        setOption(fd, SOL_SOCKET, SO_SNDBUF, bytes);
    }

    /** Ends both directions: operations waiting on the socket complete. The descriptor stays open. */
    public static void shutdown(int fd) {
        Native.call((arena, state) -> Libc.shutdown(state, fd, SHUT_RDWR));
    }

    /** Closes a descriptor on which no operation is running. */
    public static void close(int fd) {
        Native.close(fd);
    }

    private static int listen(int family, MemorySegment address, int backlog, String what) throws XenException {
        int fd = (int)
                Native.check("socket", (arena, state) -> Libc.socket(state, family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        try {
            if (family == AF_UNIX) {
                // Linux gives the file the mode of the socket: there is no moment at which others may connect.
                Native.check(what, (arena, state) -> Libc.fchmod(state, fd, 0600));
            } else {
                setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
            }
            Native.check(what, (arena, state) -> Libc.bind(state, fd, address, (int) address.byteSize()));
            Native.check(what, (arena, state) -> Libc.listen(state, fd, backlog));
            return fd;
        } catch (XenException e) {
            Native.close(fd);
            throw e;
        }
    }

    private static void setOption(int fd, int level, int name, int value) throws XenException {
        Native.check("setsockopt", (arena, state) -> {
            MemorySegment memory = arena.allocate(4, 4);
            memory.set(ValueLayout.JAVA_INT, 0, value);
            return Libc.setsockopt(state, fd, level, name, memory);
        });
    }
}
