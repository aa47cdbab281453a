package xenback.xen.store;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/** A daemon that says what a script makes it say: the ways to be wrong that a sound one does not have. */
final class ScriptedDaemon implements AutoCloseable {
    /** What to send after a request; an empty list is silence. */
    interface Script {
        List<ByteBuffer> onRequest(StoreMessage request);
    }

    private final Path socket;
    private final ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    private final AtomicReference<SocketChannel> connected = new AtomicReference<>();
    private final Script script;

    ScriptedDaemon(Path socket, Script script) throws IOException {
        this.socket = socket;
        this.script = script;
        listener.bind(UnixDomainSocketAddress.of(socket));
        Thread.ofPlatform().daemon().name("scripted-daemon").start(this::run);
    }

    static ByteBuffer bytes(MessageType type, int requestId, String body) {
        ByteBuffer out = ByteBuffer.allocate(StoreMessage.MAX_BYTES).order(ByteOrder.nativeOrder());
        new StoreMessage(type, requestId, 0, body).encode(out);
        return out.flip();
    }

    static List<ByteBuffer> answer(StoreMessage request, String body) {
        return List.of(bytes(request.type(), request.requestId(), body));
    }

    static List<ByteBuffer> refuse(StoreMessage request, String error) {
        return List.of(bytes(MessageType.ERROR, request.requestId(), error + "\0"));
    }

    private void run() {
        try {
            while (true) {
                try (SocketChannel channel = listener.accept()) {
                    connected.set(channel);
                    talk(channel);
                }
            }
        } catch (IOException e) {
            // Closed: the test is over.
        }
    }

    private void talk(SocketChannel channel) {
        ByteBuffer in = ByteBuffer.allocate(2 * StoreMessage.MAX_BYTES).order(ByteOrder.nativeOrder());
        try {
            while (channel.read(in) >= 0) {
                in.flip();
                int size = StoreMessage.sizeBytes(in);
                while (size > 0 && in.remaining() >= size) {
                    for (ByteBuffer out : script.onRequest(StoreMessage.decode(in))) {
                        channel.write(out);
                    }
                    size = StoreMessage.sizeBytes(in);
                }
                in.compact();
            }
        } catch (IOException e) {
            // This client is gone; the next one comes.
        }
    }

    /** Says something unasked, or late. */
    void say(ByteBuffer message) throws IOException {
        connected.get().write(message);
    }

    /** Hangs up, and answers again when called. */
    void hangUp() throws IOException {
        connected.get().close();
    }

    @Override
    public void close() throws IOException {
        listener.close();
        SocketChannel channel = connected.get();
        if (channel != null) {
            channel.close();
        }
        Files.deleteIfExists(socket);
    }
}
