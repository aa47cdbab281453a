package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The other end of the wire for tests, byte by byte; it shares no code with the server but the numbers. */
final class NbdClient implements AutoCloseable {
    final SocketChannel channel;

    private NbdClient(SocketChannel channel) {
        this.channel = channel;
    }

    /** One reply to an option. */
    record OptionReply(int option, int type, ByteBuffer data) {}

    /** One reply or chunk; {@code type} is -1 for a simple reply, whose data the reader takes itself. */
    record Reply(int error, int flags, int type, long cookie, ByteBuffer data) {
        boolean simple() {
            return type == -1;
        }
    }

    static NbdClient unix(Path socket) throws IOException {
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        channel.connect(UnixDomainSocketAddress.of(socket));
        return new NbdClient(channel);
    }

    static NbdClient tcp(InetSocketAddress address) throws IOException {
        return new NbdClient(SocketChannel.open(address));
    }

    void greet(boolean noZeroes) throws IOException {
        ByteBuffer greeting = receive(18);
        assertThat(greeting.getLong()).isEqualTo(0x4e42444d41474943L); // "NBDMAGIC"
        assertThat(greeting.getLong()).isEqualTo(0x49484156454F5054L); // "IHAVEOPT"
        assertThat(greeting.getShort()).isEqualTo((short) 3);
        send(buffer(4).putInt(noZeroes ? 3 : 1));
    }

    void option(int option, byte[] data) throws IOException {
        send(buffer(16 + data.length)
                .putLong(0x49484156454F5054L)
                .putInt(option)
                .putInt(data.length)
                .put(data));
    }

    OptionReply optionReply() throws IOException {
        ByteBuffer header = receive(20);
        assertThat(header.getLong()).isEqualTo(0x3e889045565a9L);
        int option = header.getInt();
        int type = header.getInt();
        return new OptionReply(option, type, receive(header.getInt()));
    }

    /** All replies up to an ACK or an error. */
    List<OptionReply> optionReplies() throws IOException {
        List<OptionReply> replies = new ArrayList<>();
        do {
            replies.add(optionReply());
        } while (replies.getLast().type() > NbdProtocol.REP_ACK);
        return replies;
    }

    void structuredReply() throws IOException {
        option(NbdProtocol.OPT_STRUCTURED_REPLY, new byte[0]);
        assertThat(optionReply().type()).isEqualTo(NbdProtocol.REP_ACK);
    }

    List<OptionReply> setMetaContext(String export, String... queries) throws IOException {
        option(NbdProtocol.OPT_SET_META_CONTEXT, metaContext(export, queries));
        return optionReplies();
    }

    /** NBD_OPT_GO; returns what NBD_INFO_EXPORT says: size 64, flags 16. */
    ByteBuffer go(String export) throws IOException {
        option(NbdProtocol.OPT_GO, infoRequest(export));
        ByteBuffer info = null;
        List<OptionReply> replies = optionReplies();
        assertThat(replies.getLast().type()).isEqualTo(NbdProtocol.REP_ACK);
        for (OptionReply reply : replies) {
            if (reply.type() == NbdProtocol.REP_INFO && reply.data().getShort(0) == NbdProtocol.INFO_EXPORT) {
                info = reply.data().position(2).slice();
            }
        }
        assertThat(info).isNotNull();
        return info;
    }

    static byte[] infoRequest(String export, int... infos) {
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        ByteBuffer data =
                buffer(6 + name.length + 2 * infos.length).putInt(name.length).put(name);
        data.putShort((short) infos.length);
        for (int info : infos) {
            data.putShort((short) info);
        }
        return remaining(data.flip());
    }

    static byte[] metaContext(String export, String... queries) {
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        int bytes = 8 + name.length;
        for (String query : queries) {
            bytes += 4 + query.getBytes(StandardCharsets.UTF_8).length;
        }
        ByteBuffer data = buffer(bytes).putInt(name.length).put(name).putInt(queries.length);
        for (String query : queries) {
            byte[] text = query.getBytes(StandardCharsets.UTF_8);
            data.putInt(text.length).put(text);
        }
        return remaining(data.flip());
    }

    static ByteBuffer requestHeader(int flags, int command, long cookie, long offset, long length) {
        return buffer(28)
                .putInt(0x25609513)
                .putShort((short) flags)
                .putShort((short) command)
                .putLong(cookie)
                .putLong(offset)
                .putInt((int) length);
    }

    void request(int flags, int command, long cookie, long offset, long length) throws IOException {
        send(requestHeader(flags, command, cookie, offset, length));
    }

    void write(int flags, long cookie, long offset, byte[] payload) throws IOException {
        send(buffer(28 + payload.length)
                .put(requestHeader(flags, NbdProtocol.CMD_WRITE, cookie, offset, payload.length)
                        .flip())
                .put(payload));
    }

    /** The next reply, whichever form it has; a simple one's data is for the caller to receive. */
    Reply reply() throws IOException {
        ByteBuffer header = receive(16);
        int magic = header.getInt();
        if (magic == 0x67446698) {
            return new Reply(header.getInt(), 0, -1, header.getLong(), buffer(0));
        }
        assertThat(magic).isEqualTo(0x668e33ef);
        int flags = header.getShort();
        int type = Short.toUnsignedInt(header.getShort());
        long cookie = header.getLong();
        ByteBuffer data = receive(receive(4).getInt());
        return new Reply(type >= 0x8000 ? data.getInt(0) : 0, flags, type, cookie, data);
    }

    /** Reads a range with structured replies and returns its bytes. */
    byte[] read(long cookie, long offset, int length) throws IOException {
        request(0, NbdProtocol.CMD_READ, cookie, offset, length);
        Reply reply = reply();
        assertThat(reply.type()).isEqualTo(NbdProtocol.CHUNK_OFFSET_DATA);
        assertThat(reply.flags()).isEqualTo(NbdProtocol.CHUNK_FLAG_DONE);
        assertThat(reply.cookie()).isEqualTo(cookie);
        assertThat(reply.data().getLong()).isEqualTo(offset);
        return remaining(reply.data());
    }

    static byte[] remaining(ByteBuffer data) {
        byte[] octets = new byte[data.remaining()];
        data.get(octets);
        return octets;
    }

    void disconnect() throws IOException {
        request(0, NbdProtocol.CMD_DISC, 0, 0, 0);
        assertEnd();
    }

    /** The server hangs up now. */
    void assertEnd() throws IOException {
        ByteBuffer one = buffer(1);
        int count;
        try {
            count = channel.read(one);
        } catch (IOException e) {
            count = -1; // reset, because it left bytes of ours unread
        }
        assertThat(count).isEqualTo(-1);
    }

    ByteBuffer receive(int bytes) throws IOException {
        ByteBuffer into = buffer(bytes);
        while (into.hasRemaining()) {
            if (channel.read(into) < 0) {
                throw new EOFException("after " + into.position() + " of " + bytes + " bytes");
            }
        }
        return into.flip();
    }

    void send(ByteBuffer filled) throws IOException {
        filled.flip();
        while (filled.hasRemaining()) {
            channel.write(filled);
        }
    }

    static ByteBuffer buffer(int bytes) {
        return ByteBuffer.allocate(bytes);
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
