package xenback.block.nbd;

import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.Sockets;

/** Accepts connections on one loop and sees them through the handshake. What is not final belongs to that loop. */
final class NbdLobby {
    private static final System.Logger LOG = System.getLogger(NbdLobby.class.getName());
    private static final Duration PAUSE = Duration.ofMillis(100);

    private final EventLoop loop;
    private final int listenFd;
    private final boolean tcp;
    private final int maxConnections;
    private final List<NbdExport> exports;
    private final Map<String, ServedExport> served;
    private final Set<NbdNewcomer> newcomers = new HashSet<>();
    private final AtomicInteger connections;
    private final Runnable onLeft;
    private final Runnable onListenerClosed;
    private final Completion onAccepted = this::accepted;
    private boolean closing;
    private boolean shortageSaid;

    /** @param connections shared with the server: counted up here, counted down by {@code onLeft} */
    NbdLobby(
            Listener listener,
            List<NbdExport> exports,
            Map<String, ServedExport> served,
            AtomicInteger connections,
            Runnable onLeft,
            Runnable onListenerClosed) {
        loop = exports.getFirst().loop();
        listenFd = listener.fd();
        tcp = listener.tcp();
        maxConnections = listener.maxConnections();
        this.exports = exports;
        this.served = served;
        this.connections = connections;
        this.onLeft = onLeft;
        this.onListenerClosed = onListenerClosed;
    }

    /** A listening socket, which becomes the lobby's, and how many clients it is for. */
    record Listener(int fd, boolean tcp, int maxConnections) {}

    void open() {
        loop.execute(this::accept);
    }

    /** Stops accepting and ends the handshakes. Any thread. */
    void close() {
        loop.execute(() -> {
            closing = true;
            Sockets.shutdown(listenFd);
            for (NbdNewcomer newcomer : newcomers) {
                newcomer.end();
            }
        });
    }

    /** Lets a newcomer go on to its export. */
    ServedExport passOn(NbdNewcomer newcomer, NbdExport export) {
        newcomers.remove(newcomer);
        ServedExport next = served.get(export.name());
        if (next == null) {
            throw new IllegalStateException("agreed on " + export.name() + ", which is not served");
        }
        return next;
    }

    void left(NbdNewcomer newcomer) {
        newcomers.remove(newcomer);
        onLeft.run();
    }

    private void accept() {
        if (closing) {
            Sockets.close(listenFd);
            onListenerClosed.run();
            return;
        }
        loop.accept(listenFd, onAccepted, 0);
    }

    private void accepted(int tag, int result) {
        if (result >= 0) {
            admit(result);
            accept();
        } else if (closing || result == -Errno.ECONNRESET.number() || result == -Errno.EINTR.number()) {
            accept();
        } else {
            pause(result);
        }
    }

    private void admit(int fd) {
        if (closing || connections.incrementAndGet() > maxConnections) {
            if (!closing) {
                connections.decrementAndGet();
            }
            Sockets.close(fd);
            return;
        }
        if (tcp) {
            try {
                Sockets.noDelay(fd);
            } catch (XenException e) {
                LOG.log(Level.DEBUG, "NBD client gone before its first byte: {0}", e.getMessage());
            }
        }
        NbdNewcomer newcomer;
        try {
            newcomer = new NbdNewcomer(this, loop, fd, exports);
        } catch (OutOfMemoryError e) { // native memory: better luck next time
            Sockets.close(fd);
            onLeft.run();
            return;
        }
        newcomers.add(newcomer);
        newcomer.start();
    }

    /** Out of descriptors or memory: accept would fail again at once, so the next try comes later. */
    private void pause(int result) {
        if (!shortageSaid) {
            shortageSaid = true;
            LOG.log(
                    Level.WARNING,
                    "NBD cannot accept: {0}; raise the limit of open files. Trying again, this is said once",
                    Errno.of(-result));
        }
        Thread.ofVirtual().name("nbd-accept").start(() -> {
            try {
                Thread.sleep(PAUSE);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            loop.execute(this::accept);
        });
    }
}
