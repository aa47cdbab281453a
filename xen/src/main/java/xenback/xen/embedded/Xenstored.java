package xenback.xen.embedded;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * An xenstored in this process, with the protocol of the real one on unix sockets, so that Xen's own tools, any client and
 * guests in Java can use it. {@code <rundir>/socket} speaks as domain 0, {@code <rundir>/socket.<domid>} as that domain,
 * with its rights and quotas. Whoever may open a socket file is believed to be that domain.
 *
 * <p>One thread owns the tree and serves all sockets, so there are no locks. The methods may be called by any thread; they
 * wait for that one.
 */
public final class Xenstored implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger("xenback.xen.embedded");

    /** How long no connection is taken after the system had no descriptor for one. */
    private static final long ACCEPT_PAUSE_MILLIS = 200;

    private final Path runDir;
    private final Selector selector;
    private final WatchSet watches = new WatchSet();
    private final LiveTree tree = new LiveTree(watches);
    private final StoreRequests requests = new StoreRequests(tree, watches, new Domains());
    private final Map<Integer, Listening> domains = new TreeMap<>();
    private final List<SelectionKey> pausedListeners = new ArrayList<>();
    private final Queue<FutureTask<?>> tasks = new ConcurrentLinkedQueue<>();
    private final Thread thread;
    private volatile boolean closed;
    private final AtomicLong droppedConnections = new AtomicLong();

    /** A domain and the socket that speaks for it. */
    private record Listening(StoreDomain domain, ServerSocketChannel channel, Path socket) {}

    private Xenstored(Path runDir) throws IOException {
        this.runDir = runDir;
        selector = Selector.open();
        thread = Thread.ofPlatform().daemon().name("xenstored").unstarted(this::run);
    }

    /**
     * Starts a store in a directory, which is made with mode 0700 if it is not there.
     *
     * @throws XenException EADDRINUSE if a store runs there already
     */
    public static Xenstored start(Path runDir) throws IOException {
        if (!Files.isDirectory(runDir)) {
            Files.createDirectories(
                    runDir, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        }
        refuseIfAlive(runDir.resolve("socket"));
        Xenstored store = new Xenstored(runDir);
        try {
            store.listen(0, runDir.resolve("socket"));
        } catch (IOException e) {
            store.selector.close();
            throw e;
        }
        store.thread.start();
        return store;
    }

    private static void refuseIfAlive(Path socket) throws IOException {
        if (!Files.exists(socket, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        SocketChannel probe;
        try {
            probe = SocketChannel.open(UnixDomainSocketAddress.of(socket));
        } catch (IOException e) {
            return; // nobody answers: left behind by a process that died
        }
        probe.close();
        throw new XenException(
                Errno.EADDRINUSE,
                "xenstored: " + socket + " is in use: a process answers there; stop it or choose another directory");
    }

    /** The directory of the sockets. */
    public Path runDir() {
        return runDir;
    }

    /** The socket that speaks as domain 0. */
    public Path socket() {
        return runDir.resolve("socket");
    }

    /** The socket that speaks as a domain; it is there while the domain is introduced. */
    public Path socket(int domid) {
        return domid == 0 ? socket() : runDir.resolve("socket." + domid);
    }

    /** Opens a domain's socket and fires {@code @introduceDomain}. Does nothing if it is introduced. */
    public void introduce(int domid) throws IOException {
        checkDomid(domid);
        call(() -> {
            introduceNow(domid);
            return true;
        });
    }

    /**
     * Drops a domain's connections with their watches and transactions, closes its socket, gives what it owned to domain 0
     * and fires {@code @releaseDomain}. Its nodes stay for the toolstack to remove. Does nothing if it is not introduced.
     */
    public void release(int domid) throws IOException {
        checkDomid(domid);
        call(() -> releaseNow(domid));
    }

    private static void checkDomid(int domid) {
        if (domid < 1 || domid > StoreDomain.LAST_DOMID) {
            throw new IllegalArgumentException("domid " + domid);
        }
    }

    /** Connections that were ended for breaking the protocol or not reading. */
    public long droppedConnections() {
        return droppedConnections.get();
    }

    /** Ends all connections and removes the sockets. */
    @Override
    public void close() {
        closed = true;
        selector.wakeup();
        boolean interrupted = false;
        while (thread.isAlive() && Thread.currentThread() != thread) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private <T> T call(Callable<T> work) throws IOException {
        FutureTask<T> task = new FutureTask<>(work);
        tasks.add(task);
        selector.wakeup();
        if (!thread.isAlive()) { // looked at after the add: who is added later is not seen by the end of the thread
            task.cancel(false);
        }
        try {
            return task.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof IOException cause) {
                throw cause;
            }
            throw new IllegalStateException("xenstored: " + e.getCause(), e);
        } catch (CancellationException e) {
            throw new XenException(Errno.EIO, "xenstored: closed", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new XenException(Errno.EINTR, "xenstored: interrupted", e);
        }
    }

    private void run() {
        try {
            while (!closed) {
                selector.select(this::ready, pausedListeners.isEmpty() ? 0 : ACCEPT_PAUSE_MILLIS);
                resumeListeners();
                runTasks();
                writeEvents();
            }
        } catch (IOException e) {
            LOG.log(System.Logger.Level.ERROR, "xenstored: the selector failed, the store ends", e);
        } finally {
            end();
        }
    }

    private void runTasks() {
        for (FutureTask<?> task = tasks.poll(); task != null; task = tasks.poll()) {
            task.run();
        }
    }

    private void writeEvents() {
        for (ClientConnection connection : requests.takeWithEvents()) {
            if (connection.domain().connections.contains(connection)) {
                try {
                    if (!connection.flush()) {
                        drop(connection, true);
                    }
                } catch (IOException e) {
                    drop(connection, false);
                }
            }
        }
    }

    private void ready(SelectionKey key) {
        if (!key.isValid()) {
            return; // its domain was released by an earlier key of this turn
        }
        if (key.attachment() instanceof ClientConnection connection) {
            serve(connection);
        } else if (key.attachment() instanceof StoreDomain domain) {
            accept(key, domain);
        }
    }

    private void serve(ClientConnection connection) {
        try {
            if (!connection.serve()) {
                drop(connection, connection.isBroken());
            }
        } catch (IOException e) {
            drop(connection, false); // it went away
        } catch (RuntimeException e) {
            LOG.log(
                    System.Logger.Level.ERROR,
                    "xenstored: a connection of domain " + connection.domain().domid() + " met a defect and is dropped",
                    e);
            drop(connection, true);
        }
    }

    private void drop(ClientConnection connection, boolean forFault) {
        if (forFault) {
            droppedConnections.incrementAndGet();
        }
        watches.remove(connection);
        connection.domain().connections.remove(connection);
        connection.close();
    }

    private void accept(SelectionKey listener, StoreDomain domain) {
        try {
            SocketChannel channel = ((ServerSocketChannel) listener.channel()).accept();
            if (channel == null) {
                return;
            }
            if (domain.connections.size() >= domain.maxConnections()) {
                droppedConnections.incrementAndGet();
                channel.close();
                return;
            }
            channel.configureBlocking(false);
            SelectionKey key = channel.register(selector, SelectionKey.OP_READ);
            ClientConnection connection = new ClientConnection(channel, key, domain, requests);
            key.attach(connection);
            domain.connections.add(connection);
        } catch (IOException e) {
            // No descriptor is left (EMFILE), and the listener stays ready: looking again at once would be a busy loop.
            listener.interestOps(0);
            pausedListeners.add(listener);
        }
    }

    private void resumeListeners() {
        for (SelectionKey listener : pausedListeners) {
            if (listener.isValid()) {
                listener.interestOps(SelectionKey.OP_ACCEPT);
            }
        }
        pausedListeners.clear();
    }

    private void introduceNow(int domid) throws IOException {
        if (!domains.containsKey(domid)) {
            listen(domid, socket(domid));
            watches.fireSpecial(WatchSet.INTRODUCE);
        }
    }

    private boolean releaseNow(int domid) {
        @Nullable Listening gone = domains.remove(domid);
        if (gone == null) {
            return false;
        }
        List.copyOf(gone.domain().connections).forEach(connection -> drop(connection, false));
        close(gone);
        tree.forget(domid);
        watches.forget(domid);
        watches.fireSpecial(WatchSet.RELEASE);
        return true;
    }

    private void listen(int domid, Path socket) throws IOException {
        deleteStale(socket);
        ServerSocketChannel channel = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            channel.bind(UnixDomainSocketAddress.of(socket));
            Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-------"));
            channel.configureBlocking(false);
            StoreDomain domain = new StoreDomain(domid);
            channel.register(selector, SelectionKey.OP_ACCEPT, domain);
            domains.put(domid, new Listening(domain, channel, socket));
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    /** Removes a socket that nobody answers on; never a file of another kind. */
    private static void deleteStale(Path socket) throws IOException {
        if (Files.exists(socket, LinkOption.NOFOLLOW_LINKS)) {
            if (!Files.readAttributes(socket, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                    .isOther()) {
                throw new XenException(Errno.EEXIST, "xenstored: " + socket + " is there and is no socket");
            }
            Files.delete(socket);
        }
    }

    private static void close(Listening listening) {
        try {
            listening.channel().close();
            Files.deleteIfExists(listening.socket());
        } catch (IOException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "xenstored: {0} is left behind: {1}",
                    listening.socket(),
                    e.getMessage());
        }
    }

    private void end() {
        closed = true;
        for (Listening listening : domains.values()) {
            listening.domain().connections.forEach(ClientConnection::close);
            close(listening);
        }
        try {
            selector.close();
        } catch (IOException e) {
            // Nothing is left to be selected.
        }
        tasks.forEach(task -> task.cancel(false));
    }

    private final class Domains implements StoreRequests.Domains {
        @Override
        public void introduceDomain(int domid) throws IOException {
            introduceNow(domid);
        }

        @Override
        public boolean releaseDomain(int domid) {
            return releaseNow(domid);
        }

        @Override
        public Optional<StoreDomain> domain(int domid) {
            return Optional.ofNullable(domains.get(domid)).map(Listening::domain);
        }
    }
}
