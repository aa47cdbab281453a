package xenback.xen.embedded;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.util.Collection;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/**
 * One connected program: its buffers, watches and transactions. Who does not read its answers is not read from. Events
 * wait in a set per watch, and no more of them than {@link #MAX_PENDING_EVENTS}.
 */
final class ClientConnection {
    /** As oxenstored's quota. Past it a watch reports only its own path, which is as good a hint. */
    static final int MAX_PENDING_EVENTS = 1024;

    /** Watches with something to report, none of it read: who has that many and does not read is dropped. */
    static final int MAX_FIRING_WATCHES = 16 * 1024;

    private static final int IN_BYTES = 2 * StoreMessage.MAX_BYTES;
    private static final int OUT_BYTES = 4 * StoreMessage.MAX_BYTES;

    /** What identifies a watch to UNWATCH and EEXIST. */
    private record WatchName(String path, String token) {}

    private final SocketChannel channel;
    private final SelectionKey key;
    private final StoreDomain domain;
    private final StoreRequests requests;
    private final ByteBuffer in = ByteBuffer.allocate(IN_BYTES).order(ByteOrder.nativeOrder());
    private final ByteBuffer out = ByteBuffer.allocate(OUT_BYTES).order(ByteOrder.nativeOrder());
    private final Map<WatchName, ServerWatch> watches = new LinkedHashMap<>();
    private final Map<Integer, StoreTransaction> transactions = new LinkedHashMap<>();
    private final Set<ServerWatch> firing = new LinkedHashSet<>();
    private int pendingEvents;
    private int lastTransactionId;
    private boolean broken;

    ClientConnection(SocketChannel channel, SelectionKey key, StoreDomain domain, StoreRequests requests) {
        this.channel = channel;
        this.key = key;
        this.domain = domain;
        this.requests = requests;
    }

    StoreDomain domain() {
        return domain;
    }

    Collection<ServerWatch> watches() {
        return watches.values();
    }

    /** True if the client broke the protocol or does not read what it asked to be told. */
    boolean isBroken() {
        return broken;
    }

    /** Reads, answers and writes what can be without waiting. False if the connection is at its end. */
    boolean serve() throws IOException {
        boolean ended = hasRoom() && in.hasRemaining() && channel.read(in) < 0;
        boolean stalled;
        do {
            stalled = answerBuffered();
            flush();
        } while (stalled && hasRoom());
        return !ended && !broken;
    }

    /** Writes events and answers as far as the socket takes them. False if the connection is at its end. */
    boolean flush() throws IOException {
        do {
            encodeEvents();
            out.flip();
            channel.write(out);
            out.compact();
        } while (out.position() == 0 && !firing.isEmpty());
        int read = hasRoom() && in.hasRemaining() ? SelectionKey.OP_READ : 0;
        int write = out.position() > 0 ? SelectionKey.OP_WRITE : 0;
        key.interestOps(read | write);
        return !broken;
    }

    /** True if requests are left because the answers would not fit. */
    private boolean answerBuffered() {
        in.flip();
        int size = StoreMessage.sizeBytes(in);
        while (size > 0 && in.remaining() >= size && hasRoom() && !broken) {
            answer(StoreMessage.decode(in));
            size = StoreMessage.sizeBytes(in);
        }
        broken |= size < 0;
        boolean stalled = size > 0 && in.remaining() >= size && !broken;
        in.compact();
        return stalled;
    }

    private void answer(StoreMessage request) {
        StoreMessage message = switch (requests.answer(this, request)) {
            case Answer.Body(String text) -> answerTo(request, request.type(), text);
            case Answer.Refusal(var why) -> answerTo(request, MessageType.ERROR, why.name() + '\0');
        };
        message.encode(out);
    }

    private static StoreMessage answerTo(StoreMessage request, MessageType type, String body) {
        return new StoreMessage(type, request.requestId(), request.transactionId(), body);
    }

    private boolean hasRoom() {
        return out.remaining() >= StoreMessage.MAX_BYTES;
    }

    private void encodeEvents() {
        while (!firing.isEmpty() && hasRoom()) {
            ServerWatch watch = firing.iterator().next();
            Iterator<String> paths = watch.pending().iterator();
            while (paths.hasNext() && hasRoom()) {
                String body = StoreMessage.strings(paths.next(), watch.token());
                new StoreMessage(MessageType.WATCH_EVENT, 0, 0, body).encode(out);
                paths.remove();
                pendingEvents--;
            }
            if (watch.pending().isEmpty()) {
                firing.remove(watch);
            }
        }
    }

    /** Notes that {@code path}, which is absolute or special, changed below a watch of this connection. */
    void event(ServerWatch watch, String path) {
        String shown = path.startsWith("@") ? path : domain.shown(path, watch.text());
        if (shown.length() + watch.token().length() + 2 > StoreMessage.MAX_BODY_BYTES) {
            shown = watch.text(); // with the token it came in one message, so it fits into one
        }
        if (watch.pending().contains(shown)) {
            return;
        }
        if (pendingEvents >= MAX_PENDING_EVENTS) {
            pendingEvents -= watch.pending().size();
            watch.pending().clear();
            shown = watch.text();
        }
        watch.pending().add(shown);
        pendingEvents++;
        firing.add(watch);
        broken |= firing.size() > MAX_FIRING_WATCHES;
        requests.hasEvents(this);
    }

    /** False if the connection has that watch already. */
    boolean addWatch(ServerWatch watch) {
        if (watches.putIfAbsent(new WatchName(watch.path(), watch.token()), watch) != null) {
            return false;
        }
        domain.watches++;
        domain.watchBytes += watch.bytes();
        return true;
    }

    boolean hasWatch(String path, String token) {
        return watches.containsKey(new WatchName(path, token));
    }

    /** False if there was none. */
    boolean removeWatch(String path, String token) {
        @Nullable ServerWatch watch = watches.remove(new WatchName(path, token));
        if (watch == null) {
            return false;
        }
        forget(watch);
        return true;
    }

    private void forget(ServerWatch watch) {
        firing.remove(watch);
        pendingEvents -= watch.pending().size();
        domain.watches--;
        domain.watchBytes -= watch.bytes();
    }

    int startTransaction(StoreTransaction transaction) {
        do {
            lastTransactionId++;
        } while (lastTransactionId == 0 || transactions.containsKey(lastTransactionId));
        transactions.put(lastTransactionId, transaction);
        domain.transactions.add(transaction);
        return lastTransactionId;
    }

    @Nullable
    StoreTransaction transaction(int id) {
        return transactions.get(id);
    }

    void endTransaction(int id) {
        @Nullable StoreTransaction transaction = transactions.remove(id);
        if (transaction != null) {
            domain.transactions.remove(transaction);
        }
    }

    /** Drops all watches and transactions. */
    void reset() {
        watches.values().forEach(this::forget);
        watches.clear();
        transactions.values().forEach(domain.transactions::remove);
        transactions.clear();
    }

    void close() {
        reset();
        key.cancel();
        try {
            channel.close();
        } catch (IOException e) {
            // The descriptor is gone all the same.
        }
    }
}
