package xenback.block.nbd;

import java.io.IOException;
import java.lang.System.Logger.Level;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.Sockets;

/**
 * Offers disks to NBD clients on one unix socket or TCP address. Every export is served by its own loop, on which its
 * connections stay; handshakes happen on the loop of the first export. Methods may be called from any thread but a loop's.
 *
 * <p>A client can break only its own connection. One connection holds at most 256 requests and 64 MiB of native memory,
 * all connections of a loop together 256 MiB and then 4 MiB or one request each. The JVM counts this memory against
 * {@code -XX:MaxDirectMemorySize}, which is the heap's size unless set.
 */
public final class NbdServer implements AutoCloseable {
    /** Clients at a time, those in the handshake included; a further one is hung up on. */
    public static final int MAX_CONNECTIONS = 64;

    private static final System.Logger LOG = System.getLogger(NbdServer.class.getName());
    private static final int BACKLOG = 64;
    private static final long DRAIN_SECONDS = 5;
    private static final int FILE_TYPE = 0170000;
    private static final int FILE_TYPE_SOCKET = 0140000;

    private final Optional<Path> socket;
    private final Optional<InetSocketAddress> address;
    private final Map<String, ServedExport> served = new LinkedHashMap<>();
    private final AtomicInteger connections = new AtomicInteger();
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition left = lock.newCondition();
    private final CountDownLatch listenerClosed = new CountDownLatch(1);
    private final NbdLobby lobby;
    private boolean closed; // guarded by lock

    private NbdServer(
            Optional<Path> socket,
            Optional<InetSocketAddress> address,
            NbdLobby.Listener listener,
            List<NbdExport> exports)
            throws XenException {
        this.socket = socket;
        this.address = address;
        try {
            for (NbdExport export : exports) {
                served.put(export.name(), ServedExport.open(export, this::connectionLeft));
            }
        } catch (XenException e) {
            served.values().forEach(NbdServer::closeExport);
            Sockets.close(listener.fd());
            socket.ifPresent(NbdServer::removeSocket);
            throw e;
        }
        lobby = new NbdLobby(listener, exports, served, connections, this::connectionLeft, listenerClosed::countDown);
        lobby.open();
    }

    /**
     * Listens on a unix socket that only this user may connect to. A file left behind by a server that is gone is
     * replaced.
     *
     * @throws XenException EADDRINUSE if a server answers there, EEXIST if something else than a socket is there
     */
    public static NbdServer start(Path socket, List<NbdExport> exports) throws XenException {
        List<NbdExport> checked = check(exports);
        removeStale(socket);
        int fd = Sockets.listenUnix(socket, BACKLOG);
        try {
            Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-------"));
        } catch (IOException e) {
            Sockets.close(fd);
            removeSocket(socket);
            throw new XenException(Errno.EACCES, socket + ": cannot keep others out: " + e.getMessage(), e);
        }
        return new NbdServer(
                Optional.of(socket), Optional.empty(), new NbdLobby.Listener(fd, false, MAX_CONNECTIONS), checked);
    }

    /** Listens on a TCP address, where anybody who reaches it may read and write; port 0 takes a free one. */
    public static NbdServer start(InetSocketAddress address, List<NbdExport> exports) throws XenException {
        List<NbdExport> checked = check(exports);
        int fd = Sockets.listenTcp(address, BACKLOG);
        InetSocketAddress bound = new InetSocketAddress(address.getAddress(), Sockets.localPort(fd));
        return new NbdServer(
                Optional.empty(), Optional.of(bound), new NbdLobby.Listener(fd, true, MAX_CONNECTIONS), checked);
    }

    /** The URI by which clients on this machine reach an export (uri.md of the NetworkBlockDevice project). */
    public URI uri(String exportName) {
        find(exportName);
        return address.map(bound -> NbdUri.tcp(bound, exportName))
                .orElseGet(() -> NbdUri.unix(socket.orElseThrow(), exportName));
    }

    /** What an export has done so far. */
    public NbdCounters counters(String exportName) {
        return find(exportName).counters();
    }

    /** Clients connected now, those in the handshake included. */
    public int connections() {
        return connections.get();
    }

    /**
     * Takes no more clients and requests, lets running requests finish and their replies go out, then closes everything.
     * Waits at most five seconds for slow clients and five more for the disks. Disks and loops stay the caller's.
     */
    @Override
    public void close() {
        lock.lock();
        try {
            if (closed) {
                return;
            }
            closed = true;
        } finally {
            lock.unlock();
        }
        // Before the listener goes: afterwards the path may belong to a server that was started meanwhile.
        socket.ifPresent(NbdServer::removeSocket);
        lobby.close();
        awaitQuietly(listenerClosed);
        served.values().forEach(export -> export.export().loop().execute(export::drain));
        if (!awaitNobody()) {
            served.values().forEach(export -> export.export().loop().execute(export::end));
            awaitNobody();
        }
        for (ServedExport export : served.values()) {
            closeExport(export);
        }
    }

    private static void closeExport(ServedExport export) {
        String name = export.export().name();
        try {
            if (!export.export().loop().call(export::close)) {
                LOG.log(
                        Level.WARNING,
                        "NBD export {0}: the disk did not complete its requests, their memory is left behind",
                        name);
            }
        } catch (XenException e) {
            LOG.log(Level.WARNING, "NBD export {0}: {1}", name, e.getMessage());
        }
    }

    private static List<NbdExport> check(List<NbdExport> exports) {
        long names = exports.stream().map(NbdExport::name).distinct().count();
        if (exports.isEmpty() || names != exports.size()) {
            throw new IllegalArgumentException("an NBD server needs at least one export, and each its own name");
        }
        return List.copyOf(exports);
    }

    private ServedExport find(String exportName) {
        ServedExport export = served.get(exportName);
        if (export == null) {
            throw new IllegalArgumentException("no export is called " + exportName);
        }
        return export;
    }

    private void connectionLeft() {
        lock.lock();
        try {
            connections.decrementAndGet();
            left.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** True if every connection has ended within the time given to them. */
    private boolean awaitNobody() {
        boolean interrupted = false;
        lock.lock();
        try {
            long nanos = TimeUnit.SECONDS.toNanos(DRAIN_SECONDS);
            while (connections.get() > 0 && nanos > 0) {
                try {
                    nanos = left.awaitNanos(nanos);
                } catch (InterruptedException e) {
                    interrupted = true;
                    break;
                }
            }
            return connections.get() == 0;
        } finally {
            lock.unlock();
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static void awaitQuietly(CountDownLatch latch) {
        try {
            if (!latch.await(DRAIN_SECONDS, TimeUnit.SECONDS)) {
                LOG.log(Level.WARNING, "NBD listener did not close in {0} s", DRAIN_SECONDS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /**
     * Finds out whether {@link #start(Path, List)} would take this path, and changes nothing. What is found may have changed
     * by then; {@code start} checks again.
     *
     * @throws XenException as {@code start} would for a path that is taken
     */
    public static void requireFree(Path socket) throws XenException {
        if (isStale(socket)) {
            LOG.log(Level.TRACE, "{0} will be replaced", socket);
        }
    }

    private static void removeStale(Path socket) throws XenException {
        if (isStale(socket)) {
            removeSocket(socket); // if it stays, the bind says why
        }
    }

    /** True for the socket of a server that is gone, false if nothing is there. */
    private static boolean isStale(Path socket) throws XenException {
        try {
            int mode = (Integer) Files.getAttribute(socket, "unix:mode", LinkOption.NOFOLLOW_LINKS);
            if ((mode & FILE_TYPE) != FILE_TYPE_SOCKET) {
                throw new XenException(Errno.EEXIST, socket + ": exists and is no socket; choose another path");
            }
            if (answers(socket)) {
                throw new XenException(
                        Errno.EADDRINUSE, socket + ": another server answers there; stop it or choose another path");
            }
            return true;
        } catch (NoSuchFileException e) {
            return false;
        } catch (XenException e) {
            throw e;
        } catch (IOException e) {
            throw new XenException(Errno.EACCES, socket + ": " + e.getMessage(), e);
        }
    }

    /** False only if the kernel says that nobody listens; a server too busy to accept is alive. */
    private static boolean answers(Path socket) {
        try (SocketChannel probe = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            probe.configureBlocking(false);
            probe.connect(UnixDomainSocketAddress.of(socket));
            return true;
        } catch (ConnectException e) {
            return false;
        } catch (IOException e) {
            return true;
        }
    }

    private static void removeSocket(Path socket) {
        try {
            Files.deleteIfExists(socket);
        } catch (IOException e) {
            LOG.log(Level.WARNING, "{0}: cannot remove the socket: {1}", socket, e.getMessage());
        }
    }
}
