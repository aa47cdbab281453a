package xenback.xen.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/**
 * One life of the way to the daemon: from its opening until it is lost, once. One thread reads; any thread asks, with
 * answers matched by request id in whatever order they come.
 */
final class DaemonConnection {
    /** What the reader tells. Called on the reader's thread; must not ask anything on this connection. */
    interface Listener {
        void onEvent(String path, String token);

        /** The end, told once; the reader's thread is free for good from here on. */
        void onLost(DaemonConnection connection, IOException cause);
    }

    private final StoreTransport transport;
    private final Listener listener;
    private final Thread reader;
    private final ReentrantLock writer = new ReentrantLock();
    private final ByteBuffer outgoing = // guarded by writer
            ByteBuffer.allocateDirect(StoreMessage.MAX_BYTES).order(ByteOrder.nativeOrder());
    private final Semaphore inFlight;
    private final Map<Integer, CompletableFuture<StoreMessage>> pending = new ConcurrentHashMap<>();
    private final AtomicInteger lastRequestId = new AtomicInteger();
    private volatile boolean lost;

    DaemonConnection(StoreTransport transport, Listener listener, StoreClient.Threads threads) {
        this.transport = transport;
        this.listener = listener;
        inFlight = new Semaphore(transport.maxInFlight(), true); // in turn: no caller is left behind by busy ones
        reader = threads.make("xenstore-reader", this::read);
    }

    void start() {
        reader.start();
    }

    boolean isLost() {
        return lost;
    }

    /**
     * Asks and waits for the answer's body. An interrupt does not end the wait, for the answer would be left without an
     * owner and a transaction without an end; the flag is kept.
     */
    String request(MessageType type, int transactionId, String body, String what) throws StoreException {
        if (body.length() > transport.maxBodyBytes()) {
            throw new StoreException(Errno.E2BIG, what);
        }
        inFlight.acquireUninterruptibly();
        int requestId = lastRequestId.incrementAndGet();
        try {
            CompletableFuture<StoreMessage> answer = new CompletableFuture<>();
            pending.put(requestId, answer);
            if (lost) { // looked at after the put: who is put later than the loss is not seen by it
                throw new StoreException(Errno.EIO, what);
            }
            send(new StoreMessage(type, requestId, transactionId, body), what);
            return bodyOf(answer.join(), type, what);
        } catch (CompletionException e) {
            throw new StoreException(Errno.EIO, what, e.getCause() == null ? e : e.getCause());
        } finally {
            pending.remove(requestId);
            inFlight.release();
        }
    }

    private void send(StoreMessage message, String what) throws StoreException {
        writer.lock();
        try {
            outgoing.clear();
            message.encode(outgoing);
            transport.send(outgoing.flip());
        } catch (StoreException refused) {
            throw refused;
        } catch (IOException e) {
            transport.close(); // the reader sees it and tells the loss
            throw new StoreException(Errno.EIO, what, e);
        } finally {
            writer.unlock();
        }
    }

    private static String bodyOf(StoreMessage answer, MessageType asked, String what) throws StoreException {
        if (answer.type() == MessageType.ERROR) {
            List<String> parts = StoreMessage.parts(answer.body());
            String name = parts.isEmpty() ? "" : parts.getFirst();
            Errno errno = Errno.of(name);
            throw new StoreException(errno, errno == Errno.UNKNOWN ? what + ": " + printable(name) : what);
        }
        if (answer.type() != asked) {
            throw new StoreException(Errno.EIO, what + ": the answer is to " + answer.type());
        }
        return answer.body();
    }

    private static String printable(String name) {
        return name.substring(0, Math.min(name.length(), 32)).replaceAll("[^ -~]", "?");
    }

    private void read() {
        ByteBuffer in = ByteBuffer.allocateDirect(2 * StoreMessage.MAX_BYTES).order(ByteOrder.nativeOrder());
        IOException cause;
        try {
            while (transport.receive(in) >= 0) {
                in.flip();
                deliverWhole(in);
                in.compact();
            }
            cause = new IOException("the daemon closed the connection");
        } catch (IOException e) {
            cause = e;
        }
        lose(cause);
        listener.onLost(this, cause);
    }

    private void deliverWhole(ByteBuffer in) throws IOException {
        int size = StoreMessage.sizeBytes(in);
        while (size > 0 && in.remaining() >= size) {
            deliver(StoreMessage.decode(in));
            size = StoreMessage.sizeBytes(in);
        }
        if (size < 0) {
            throw new IOException("the daemon sent a message longer than the protocol allows");
        }
    }

    private void deliver(StoreMessage message) {
        if (message.type() == MessageType.WATCH_EVENT) {
            List<String> parts = StoreMessage.parts(message.body());
            if (parts.size() >= 2) {
                listener.onEvent(parts.get(0), parts.get(1));
            }
            return;
        }
        @Nullable CompletableFuture<StoreMessage> answer = pending.get(message.requestId());
        if (answer != null) { // else an answer to nobody, which harms nobody
            answer.complete(message);
        }
    }

    private void lose(IOException cause) {
        lost = true;
        transport.close();
        pending.values().forEach(answer -> answer.completeExceptionally(cause));
    }

    /** Ends this connection; who waits for an answer gets EIO. */
    void close() {
        transport.close();
    }
}
