package xenback.xen.store;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/**
 * A client of a running xenstored. Threads: one reads, one calls the listeners, both are daemon threads; callers wait in
 * their own.
 *
 * <p>When the daemon is lost, calls fail with EIO and open transactions with them, while the client tries in the
 * background to come back. Then every watch is registered again and so fires once: listeners that re-read on each call
 * need nothing else.
 */
public final class StoreClient extends StoreVerbs implements XenStore {
    private static final System.Logger LOG = System.getLogger("xenback.xen.store");
    private static final long FIRST_RETRY_MILLIS = 50;
    private static final long LONGEST_RETRY_MILLIS = 5_000;
    private static final int MAX_SPECIAL_NAME = 64;

    /** How a client gets its threads. */
    @FunctionalInterface
    interface Threads {
        /** A transport may hold its thread in the kernel, so these are platform threads. */
        Threads DAEMONS =
                (name, body) -> Thread.ofPlatform().daemon().name(name).unstarted(body);

        /** Makes a thread that the client starts, and that never keeps the program running. */
        Thread make(String name, Runnable body);
    }

    private final StoreTransport.Opener opener;
    private final Threads threads;
    private final WatchDispatcher dispatcher;
    private final Map<String, ClientWatch> watches = new ConcurrentHashMap<>(); // by token
    private final AtomicLong lastToken = new AtomicLong();
    private final CountDownLatch closed = new CountDownLatch(1);
    private final DaemonConnection.Listener fromDaemon = new FromDaemon();

    /** Written under {@link #lifeLock}; a dead one stays here until its successor has all watches. */
    private volatile DaemonConnection connection;

    private final ReentrantLock lifeLock = new ReentrantLock();
    private boolean reconnecting; // guarded by lifeLock

    private StoreClient(StoreTransport.Opener opener, Threads threads) throws IOException {
        this.opener = opener;
        this.threads = threads;
        dispatcher = new WatchDispatcher(threads);
        connection = new DaemonConnection(opener.open(), fromDaemon, threads);
    }

    /**
     * Connects to the socket of a xenstored, usually {@code /run/xenstored/socket}.
     *
     * @throws StoreException EIO if nobody answers there
     */
    public static StoreClient connect(Path socket) throws StoreException {
        try {
            return open(() -> SocketTransport.open(socket));
        } catch (IOException e) {
            throw new StoreException(Errno.EIO, "no xenstored answers on " + socket + " (" + e.getMessage() + ")", e);
        }
    }

    /**
     * Connects through the kernel's device, usually {@code /dev/xen/xenbus}, as the domain that we are.
     *
     * @throws StoreException EIO if it cannot be opened
     */
    public static StoreClient connectThroughKernel(Path device) throws StoreException {
        try {
            return open(() -> XenbusTransport.open(device));
        } catch (IOException e) {
            throw new StoreException(Errno.EIO, "cannot use " + device + " (" + e.getMessage() + ")", e);
        }
    }

    static StoreClient open(StoreTransport.Opener opener) throws IOException {
        return open(opener, Threads.DAEMONS);
    }

    static StoreClient open(StoreTransport.Opener opener, Threads threads) throws IOException {
        StoreClient client = new StoreClient(opener, threads);
        client.dispatcher.start();
        client.connection.start();
        return client;
    }

    @Override
    String request(MessageType type, String body, String what) throws StoreException {
        return connection.request(type, 0, body, what);
    }

    @Override
    public <T> T transaction(TransactionWork<T> work) throws StoreException {
        for (int attempt = 1; ; attempt++) {
            try {
                return attempt(work);
            } catch (StoreException e) {
                if (e.errno() != Errno.EAGAIN || attempt == TRANSACTION_ATTEMPTS) {
                    throw e;
                }
            }
            // Two writers that conflict once would meet again in step; the jitter parts them. At most 128 ms a time.
            long mostMicros = 500L << Math.min(attempt, 8);
            pause(TimeUnit.MICROSECONDS.toNanos(ThreadLocalRandom.current().nextLong(mostMicros) + 1));
        }
    }

    private <T> T attempt(TransactionWork<T> work) throws StoreException {
        ClientTransaction transaction = ClientTransaction.start(connection);
        try {
            T result = work.run(transaction);
            transaction.commit();
            return result;
        } finally {
            transaction.abortUnlessEnded();
        }
    }

    @Override
    public StoreWatch watch(StorePath path, WatchListener listener) throws StoreException {
        return register(path.text(), listener);
    }

    @Override
    public StoreWatch watchSpecial(String name, WatchListener listener) throws StoreException {
        if (!name.startsWith("@") || name.length() > MAX_SPECIAL_NAME || !StorePath.isValid(name)) {
            throw new IllegalArgumentException("not a special watch: " + name);
        }
        return register(name, listener);
    }

    private StoreWatch register(String path, WatchListener listener) throws StoreException {
        String token = "xenback-" + lastToken.incrementAndGet();
        ClientWatch watch = new ClientWatch(this, path, token, listener);
        watches.put(token, watch); // before the request, for the first event may overtake its answer
        try {
            sendWatch(connection, watch);
        } catch (StoreException e) {
            unwatch(watch);
            throw e;
        }
        return watch;
    }

    private static void sendWatch(DaemonConnection connection, ClientWatch watch) throws StoreException {
        try {
            connection.request(
                    MessageType.WATCH, 0, StoreMessage.strings(watch.path, watch.token), "watch " + watch.path);
        } catch (StoreException e) {
            if (e.errno() != Errno.EEXIST) { // tokens are unique: a reconnection has been here already
                throw e;
            }
        }
    }

    void unwatch(ClientWatch watch) {
        if (watches.remove(watch.token) != null) {
            dispatcher.forget(watch);
            sendUnwatch(connection, watch);
        }
    }

    private static void sendUnwatch(DaemonConnection connection, ClientWatch watch) {
        try {
            connection.request(
                    MessageType.UNWATCH, 0, StoreMessage.strings(watch.path, watch.token), "unwatch " + watch.path);
        } catch (StoreException e) {
            // The daemon has no such watch, or is lost and has none at all: what was wanted.
        }
    }

    @Override
    public StorePath domainPath(int domid) throws StoreException {
        String what = "path of domain " + domid;
        List<String> parts = StoreMessage.parts(
                request(MessageType.GET_DOMAIN_PATH, StoreMessage.strings(Integer.toString(domid)), what));
        if (parts.isEmpty() || !StorePath.isValid(parts.getFirst())) {
            throw new StoreException(Errno.EIO, what);
        }
        return StorePath.of(parts.getFirst());
    }

    @Override
    public boolean isConnected() {
        return !connection.isLost();
    }

    /** Paths of events that wait for the listeners. */
    int pendingPaths() {
        return dispatcher.pendingPaths();
    }

    @Override
    public void close() {
        closed.countDown();
        connection.close();
        dispatcher.close();
    }

    /** True if the client was closed meanwhile. */
    private boolean pause(long nanos) {
        boolean interrupted = false;
        long deadlineNanos = System.nanoTime() + nanos;
        try {
            while (true) {
                try {
                    return closed.await(deadlineNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private final class FromDaemon implements DaemonConnection.Listener {
        @Override
        public void onEvent(String path, String token) {
            @Nullable ClientWatch watch = watches.get(token);
            if (watch != null) { // else it was closed while the event was on its way
                dispatcher.offer(watch, path);
            }
        }

        /** Comes back on the dead connection's own thread, which has nothing else to do any more. */
        @Override
        public void onLost(DaemonConnection dead, IOException cause) {
            if (!mayReconnect(dead)) {
                return;
            }
            LOG.log(System.Logger.Level.WARNING, "xenstore is lost ({0}); trying to come back", cause.getMessage());
            long mostMillis = FIRST_RETRY_MILLIS;
            do {
                long millis = ThreadLocalRandom.current().nextLong(mostMillis / 2, mostMillis + 1);
                if (pause(TimeUnit.MILLISECONDS.toNanos(millis))) {
                    return;
                }
                mostMillis = Math.min(2 * mostMillis, LONGEST_RETRY_MILLIS);
            } while (!reconnect());
            LOG.log(System.Logger.Level.INFO, "xenstore is back");
        }
    }

    private boolean reconnect() {
        DaemonConnection fresh;
        try {
            fresh = new DaemonConnection(opener.open(), fromDaemon, threads);
        } catch (IOException e) {
            return false;
        }
        fresh.start();
        List<ClientWatch> registered = new ArrayList<>();
        for (ClientWatch watch : watches.values()) {
            if (!registerAgain(fresh, watch)) {
                fresh.close();
                return false;
            }
            registered.add(watch);
        }
        if (!use(fresh)) {
            return false;
        }
        for (ClientWatch watch : registered) {
            if (watch.closed) { // between our look and now, when its owner had only the dead connection to tell
                sendUnwatch(fresh, watch);
            }
        }
        if (closed.getCount() == 0) {
            fresh.close();
        }
        return true;
    }

    /** False for a connection that never came into use: who tried it tries again. */
    private boolean mayReconnect(DaemonConnection dead) {
        lifeLock.lock();
        try {
            if (reconnecting || dead != connection || closed.getCount() == 0) {
                return false;
            }
            reconnecting = true;
            return true;
        } finally {
            lifeLock.unlock();
        }
    }

    /** From here on the fresh connection's own thread answers for its loss, unless it is lost already. */
    private boolean use(DaemonConnection fresh) {
        lifeLock.lock();
        try {
            connection = fresh;
            reconnecting = fresh.isLost();
            return !reconnecting;
        } finally {
            lifeLock.unlock();
        }
    }

    /** False if the connection is lost again. A refusal ends only this watch, whose listener is told for the last time. */
    private boolean registerAgain(DaemonConnection fresh, ClientWatch watch) {
        try {
            sendWatch(fresh, watch);
        } catch (StoreException e) {
            if (fresh.isLost()) {
                return false;
            }
            LOG.log(System.Logger.Level.ERROR, "the watch of {0} is gone: {1}", watch.path, e.getMessage());
            dispatcher.offer(watch, watch.path);
        }
        return true;
    }
}
