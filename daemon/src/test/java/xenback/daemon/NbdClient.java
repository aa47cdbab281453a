package xenback.daemon;

import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * A client of the NBD protocol (proto.md) with simple replies, for what no tool shows: which request was acknowledged, and
 * what happens to a request that is cut off.
 */
final class NbdClient implements AutoCloseable {
    static final int FLAG_FUA = 1;
    static final int READ = 0;
    static final int WRITE = 1;
    static final int FLUSH = 3;

    private static final long MAGIC = 0x4e42444d41474943L;
    private static final long OPTION_MAGIC = 0x49484156454F5054L;
    private static final int OPTION_GO = 7;
    private static final int REPLY_ACK = 1;

    private final SocketChannel channel;
    private long cookie;

    private NbdClient(SocketChannel channel) {
        this.channel = channel;
    }

    /** The server's answer to a request was an error. */
    static final class Refused extends IOException {
        private static final long serialVersionUID = 1L;

        final int error;

        Refused(int error) {
            super("NBD error " + error);
            this.error = error;
        }
    }

    /** Connects and chooses an export. */
    static NbdClient connect(Path socket, String export) throws IOException {
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            channel.connect(UnixDomainSocketAddress.of(socket));
            var client = new NbdClient(channel);
            client.go(export);
            return client;
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    void write(long offsetBytes, byte[] octets) throws IOException {
        call(0, WRITE, offsetBytes, octets.length, octets);
    }

    /** Returns when the octets are durable. */
    void writeThrough(long offsetBytes, byte[] octets) throws IOException {
        call(FLAG_FUA, WRITE, offsetBytes, octets.length, octets);
    }

    void flush() throws IOException {
        call(0, FLUSH, 0, 0, new byte[0]);
    }

    byte[] read(long offsetBytes, int lengthBytes) throws IOException {
        call(0, READ, offsetBytes, lengthBytes, new byte[0]);
        return receive(lengthBytes).array();
    }

    /** Puts a request, or a part of one, on the wire and awaits nothing. */
    void send(int flags, int command, long offsetBytes, int lengthBytes, byte[] payload) throws IOException {
        cookie++;
        ByteBuffer request = ByteBuffer.allocate(28 + payload.length)
                .putInt(0x25609513)
                .putShort((short) flags)
                .putShort((short) command)
                .putLong(cookie)
                .putLong(offsetBytes)
                .putInt(lengthBytes)
                .put(payload);
        send(request);
    }

    /** Puts anything on the wire. */
    void send(ByteBuffer filled) throws IOException {
        filled.flip();
        while (filled.hasRemaining()) {
            channel.write(filled);
        }
    }

    /** Waits until the server hangs up. */
    void awaitEnd() throws IOException {
        ByteBuffer scrap = ByteBuffer.allocate(4096);
        while (channel.read(scrap.clear()) >= 0) {
            // what it still had to say
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }

    private void call(int flags, int command, long offsetBytes, int lengthBytes, byte[] payload) throws IOException {
        send(flags, command, offsetBytes, lengthBytes, payload);
        ByteBuffer reply = receive(16);
        expect(reply.getInt() == 0x67446698, "magic of a simple reply");
        int error = reply.getInt();
        expect(reply.getLong() == cookie, "cookie");
        if (error != 0) {
            throw new Refused(error);
        }
    }

    private void go(String export) throws IOException {
        ByteBuffer greeting = receive(18);
        expect(greeting.getLong() == MAGIC && greeting.getLong() == OPTION_MAGIC, "greeting");
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        send(ByteBuffer.allocate(26 + name.length)
                .putInt(3) // fixed newstyle, no zeroes
                .putLong(OPTION_MAGIC)
                .putInt(OPTION_GO)
                .putInt(6 + name.length)
                .putInt(name.length)
                .put(name)
                .putShort((short) 0));
        int type;
        do {
            ByteBuffer reply = receive(20);
            type = reply.getInt(12);
            receive(reply.getInt(16));
        } while (type > REPLY_ACK);
        expect(type == REPLY_ACK, "acknowledgement");
    }

    private ByteBuffer receive(int bytes) throws IOException {
        ByteBuffer into = ByteBuffer.allocate(bytes);
        while (into.hasRemaining()) {
            if (channel.read(into) < 0) {
                throw new EOFException("the server hung up");
            }
        }
        return into.flip();
    }

    private static void expect(boolean met, String what) throws IOException {
        if (!met) {
            throw new IOException("not the " + what + " that was due");
        }
    }
}
