package xenback.block.nbd;

import static xenback.fuzz.FuzzTarget.require;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;

/**
 * Any bytes in any pieces into the newstyle negotiation: it ends, its replies are whole and fit, and what it agrees on is an
 * export of this server.
 */
public final class NbdHandshakeTarget implements FuzzTarget {
    private static final int MOST_BYTES = 64 << 10;

    private final MemoryDisk disk = new MemoryDisk(1 << 20);
    private final List<List<NbdExport>> servers = List.of(
            List.of(new NbdExport(NbdBytes.EXPORT, "for tests", disk, null)),
            List.of(
                    new NbdExport(NbdBytes.EXPORT, "", disk, null),
                    new NbdExport(NbdBytes.READ_ONLY, "d".repeat(256), disk, null)),
            List.of(new NbdExport("", "nameless", disk, null), new NbdExport("n".repeat(256), "", disk, null)));
    private final MemorySegment input = Arena.ofAuto().allocate(NbdHandshake.INPUT_BYTES, 8);

    private byte[] sent = {};
    private int at;
    private int pieceBytes;

    @Override
    public void run(FuzzInput in) {
        List<NbdExport> exports = servers.get(in.below(servers.size()));
        disk.readOnly = in.rarely();
        disk.knowsExtents = !in.rarely();
        pieceBytes = in.flag() ? MOST_BYTES : 1 + in.u8();
        sent = compose(in);
        at = 0;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment output = arena.allocate(NbdHandshake.outputBytes(exports), 8);
            negotiate(new NbdHandshake(exports, input, output), exports, output);
        }
    }

    private static byte[] compose(FuzzInput in) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        int flags = in.rarely() ? in.u32() : in.pick(3, 1, 0, 2);
        out.writeBytes(new byte[] {(byte) (flags >>> 24), (byte) (flags >>> 16), (byte) (flags >>> 8), (byte) flags});
        while (in.more() && out.size() < MOST_BYTES) {
            if (in.rarely()) {
                out.writeBytes(in.bytes(1 + in.u8()));
                continue;
            }
            int option = in.rarely() ? in.u32() : in.pick(8, 10, 9, 6, 3, 7, 1, 2);
            byte[] body = NbdBytes.body(in, option);
            int length = in.rarely() ? in.u32() : body.length;
            long magic = in.rarely() ? in.u64() : NbdProtocol.IHAVEOPT;
            NbdBytes.option(out, magic, option, length, body);
            if (length > body.length && length < MOST_BYTES) {
                out.writeBytes(new byte[length - body.length]);
            }
        }
        return out.toByteArray();
    }

    private void negotiate(NbdHandshake handshake, List<NbdExport> exports, MemorySegment output) {
        handshake.greet();
        require(handshake.outputLength() == NbdProtocol.GREETING_BYTES, "greeting of " + handshake.outputLength());
        int answers = 0;
        while (true) {
            NbdHandshake.Step step = handshake.step();
            require(handshake.outputLength() <= output.byteSize(), "output of " + handshake.outputLength() + " bytes");
            if (step == NbdHandshake.Step.RECEIVE) {
                require(handshake.outputLength() == 0, "output and nothing said of it");
                if (!receive(handshake)) {
                    return;
                }
                continue;
            }
            answers++;
            require(answers <= 1 + sent.length / NbdProtocol.OPTION_HEADER_BYTES, "more answers than options");
            checkReplies(output, handshake.outputLength(), step);
            if (step == NbdHandshake.Step.TRANSMIT) {
                require(exports.contains(handshake.agreement().export()), "an export of another server");
                require(handshake.earlyBytes() >= 0 && handshake.earlyBytes() <= at, "early bytes");
            }
            if (step != NbdHandshake.Step.SEND) {
                return;
            }
        }
    }

    private boolean receive(NbdHandshake handshake) {
        int offset = handshake.receiveFrom();
        int bytes = Math.min(Math.min(NbdHandshake.INPUT_BYTES - offset, pieceBytes), sent.length - at);
        require(offset < NbdHandshake.INPUT_BYTES, "wants more and has no room");
        if (bytes == 0) {
            return false;
        }
        MemorySegment.copy(sent, at, input, ValueLayout.JAVA_BYTE, offset, bytes);
        handshake.received(bytes);
        at += bytes;
        return true;
    }

    private static void checkReplies(MemorySegment output, int length, NbdHandshake.Step step) {
        boolean oldStyle = length >= 8 && output.get(NbdProtocol.U64, 0) != NbdProtocol.OPTION_REPLY_MAGIC;
        if (oldStyle) {
            require(step == NbdHandshake.Step.TRANSMIT && (length == 10 || length == 134), "reply of " + length);
            return;
        }
        int from = 0;
        int type = NbdProtocol.REP_ACK;
        while (from < length) {
            require(length - from >= NbdProtocol.OPTION_REPLY_HEADER_BYTES, "half a reply");
            require(output.get(NbdProtocol.U64, from) == NbdProtocol.OPTION_REPLY_MAGIC, "magic of a reply");
            type = output.get(NbdProtocol.U32, from + 12L);
            int bytes = output.get(NbdProtocol.U32, from + 16L);
            require(bytes >= 0 && bytes <= length - from - 20, "length of a reply: " + bytes);
            from += NbdProtocol.OPTION_REPLY_HEADER_BYTES + bytes;
        }
        require(type == NbdProtocol.REP_ACK || type < 0, "the last reply is of type " + type);
        require(step != NbdHandshake.Step.SEND || length > 0, "nothing to send");
    }
}
