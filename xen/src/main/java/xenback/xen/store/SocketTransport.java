package xenback.xen.store;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.CancelledKeyException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import xenback.xen.store.wire.StoreMessage;

/**
 * The daemon's unix socket. The channel is non-blocking and waits in selectors, because an interrupt during a blocking
 * call closes an NIO channel: one cancelled control thread would cut the store off for all.
 */
final class SocketTransport implements StoreTransport {
    /** The C daemon stops reading a domain with 20 unanswered requests; others that it serves are to have their turn too. */
    private static final int MAX_IN_FLIGHT = 16;

    private final SocketChannel channel;
    private final Selector readable;
    private final Selector writable;

    private SocketTransport(SocketChannel channel) throws IOException {
        this.channel = channel;
        channel.configureBlocking(false);
        readable = Selector.open();
        writable = Selector.open();
        channel.register(readable, SelectionKey.OP_READ);
        channel.register(writable, SelectionKey.OP_WRITE);
    }

    static SocketTransport open(Path socket) throws IOException {
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            channel.connect(UnixDomainSocketAddress.of(socket));
            return new SocketTransport(channel);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    @Override
    public int maxBodyBytes() {
        return StoreMessage.MAX_BODY_BYTES;
    }

    @Override
    public int maxInFlight() {
        return MAX_IN_FLIGHT;
    }

    @Override
    public void send(ByteBuffer message) throws IOException {
        channel.write(message);
        while (message.hasRemaining()) { // the socket's buffer is full
            await(writable);
            channel.write(message);
        }
    }

    @Override
    public int receive(ByteBuffer into) throws IOException {
        int count = channel.read(into);
        while (count == 0) {
            await(readable);
            count = channel.read(into);
        }
        return count;
    }

    private void await(Selector selector) throws IOException {
        boolean interrupted = false;
        try {
            while (selector.select() == 0) {
                interrupted |= Thread.interrupted(); // or select would return at once, for ever
                if (!channel.isOpen()) {
                    throw new ClosedChannelException();
                }
            }
            selector.selectedKeys().clear();
        } catch (ClosedSelectorException | CancelledKeyException e) {
            ClosedChannelException closed = new ClosedChannelException();
            closed.initCause(e);
            throw closed;
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    @Override
    public void close() {
        try (channel;
                readable;
                writable) {
            readable.wakeup();
            writable.wakeup();
        } catch (IOException e) {
            // The descriptor is gone all the same, and with it every reason to use it.
        }
    }
}
