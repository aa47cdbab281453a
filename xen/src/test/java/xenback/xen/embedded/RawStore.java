package xenback.xen.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.function.IntFunction;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/** Speaks to a store message by message, also what no honest client says. */
public final class RawStore implements AutoCloseable {
    final Deque<List<String>> events = new ArrayDeque<>();
    private final SocketChannel channel;
    private final ByteBuffer in = ByteBuffer.allocate(StoreMessage.MAX_BYTES)
            .order(ByteOrder.nativeOrder())
            .flip();
    private int lastRequestId = 100;

    public RawStore(Path socket) throws IOException {
        channel = SocketChannel.open(UnixDomainSocketAddress.of(socket));
    }

    static ByteBuffer bytes(int capacity) {
        return ByteBuffer.allocate(capacity).order(ByteOrder.nativeOrder());
    }

    /** Sends bytes as they are. */
    void send(ByteBuffer raw) throws IOException {
        while (raw.hasRemaining()) {
            channel.write(raw);
        }
    }

    /** Sends bytes without ever waiting; false if the socket takes no more. */
    boolean trySend(ByteBuffer raw) throws IOException {
        channel.configureBlocking(false);
        channel.write(raw);
        return !raw.hasRemaining();
    }

    void send(MessageType type, int transactionId, String body) throws IOException {
        ByteBuffer out = bytes(StoreMessage.MAX_BYTES);
        new StoreMessage(type, ++lastRequestId, transactionId, body).encode(out);
        send(out.flip());
    }

    /** The answer's body, or the error's name. */
    String ask(MessageType type, int transactionId, String body) throws IOException {
        send(type, transactionId, body);
        StoreMessage answer = receive();
        while (answer.type() == MessageType.WATCH_EVENT) {
            assertThat(answer.requestId()).isZero();
            assertThat(answer.transactionId()).isZero();
            events.add(StoreMessage.parts(answer.body()));
            answer = receive();
        }
        assertThat(answer.requestId()).isEqualTo(lastRequestId);
        assertThat(answer.transactionId()).isEqualTo(transactionId);
        assertThat(answer.type()).isIn(type, MessageType.ERROR);
        return answer.body();
    }

    String ask(MessageType type, String body) throws IOException {
        return ask(type, 0, body);
    }

    int start() throws IOException {
        return Integer.parseInt(
                StoreMessage.parts(ask(MessageType.TRANSACTION_START, "\0")).getFirst());
    }

    StoreMessage receive() throws IOException {
        while (true) {
            int size = StoreMessage.sizeBytes(in);
            if (size > 0 && in.remaining() >= size) {
                return StoreMessage.decode(in);
            }
            assertThat(size).isNotNegative();
            in.compact();
            int count = channel.read(in);
            in.flip();
            assertThat(count).as("the store hung up").isPositive();
        }
    }

    /** Waits until the store hangs up. */
    void awaitEnd() throws IOException {
        ByteBuffer rest = bytes(64 * 1024);
        try {
            while (channel.read(rest) >= 0) {
                rest.clear();
            }
        } catch (IOException e) {
            assertThat(e).hasMessageContaining("reset"); // it closed with our bytes unread
        }
    }

    /** Writes many nodes, a burst of requests at a time. */
    public void writeMany(int count, IntFunction<String> pathAndValue) throws IOException {
        int burst = 100;
        for (int first = 0; first < count; first += burst) {
            ByteBuffer out = bytes(burst * 128);
            for (int i = first; i < first + burst; i++) {
                new StoreMessage(MessageType.WRITE, i, 0, pathAndValue.apply(i)).encode(out);
            }
            send(out.flip());
            for (int i = first; i < first + burst; i++) {
                assertThat(receive()).isEqualTo(new StoreMessage(MessageType.WRITE, i, 0, "OK\0"));
            }
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
