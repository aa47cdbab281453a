package xenback.xen.store;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Calls the listeners, one after another, on one thread. What waits is a set of watches, each with a bounded set of
 * paths: a guest that writes a watched node in a loop costs one call at a time and no memory (XSA-349).
 */
final class WatchDispatcher {
    private static final System.Logger LOG = System.getLogger("xenback.xen.store");

    private final Thread thread;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition moved = lock.newCondition();
    private final LinkedHashSet<ClientWatch> ready = new LinkedHashSet<>();
    private @Nullable ClientWatch running;
    private boolean closed;

    WatchDispatcher(StoreClient.Threads threads) {
        thread = threads.make("xenstore-watches", this::run);
    }

    void start() {
        thread.start();
    }

    void offer(ClientWatch watch, String path) {
        lock.lock();
        try {
            if (watch.closed) {
                return;
            }
            if (watch.changed.size() >= ClientWatch.MAX_CHANGED && !watch.changed.contains(path)) {
                watch.changed.clear();
                watch.changed.add(watch.path);
            } else {
                watch.changed.add(path);
            }
            ready.add(watch);
            moved.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Paths that wait to be told. */
    int pendingPaths() {
        lock.lock();
        try {
            return ready.stream().mapToInt(watch -> watch.changed.size()).sum();
        } finally {
            lock.unlock();
        }
    }

    /** No call of this watch's listener begins after this returns, and none is going on unless it is the caller. */
    void forget(ClientWatch watch) {
        lock.lock();
        try {
            watch.closed = true;
            watch.changed.clear();
            ready.remove(watch);
            while (running == watch && Thread.currentThread() != thread) {
                moved.awaitUninterruptibly();
            }
        } finally {
            lock.unlock();
        }
    }

    private void run() {
        List<String> paths = List.of();
        while (true) {
            ClientWatch watch;
            lock.lock();
            try {
                running = null;
                moved.signalAll();
                while (ready.isEmpty() && !closed) {
                    moved.awaitUninterruptibly();
                }
                if (closed) {
                    return;
                }
                watch = ready.removeFirst();
                paths = List.copyOf(watch.changed);
                watch.changed.clear();
                running = watch;
            } finally {
                lock.unlock();
            }
            call(watch, paths);
        }
    }

    private static void call(ClientWatch watch, List<String> paths) {
        try {
            watch.listener.onChange(paths);
        } catch (RuntimeException | AssertionError e) {
            LOG.log(System.Logger.Level.ERROR, "a listener of " + watch.path + " failed; its watch goes on", e);
        }
    }

    void close() {
        lock.lock();
        try {
            closed = true;
            ready.clear();
            moved.signalAll();
            while (running != null && Thread.currentThread() != thread) {
                moved.awaitUninterruptibly();
            }
        } finally {
            lock.unlock();
        }
    }
}
