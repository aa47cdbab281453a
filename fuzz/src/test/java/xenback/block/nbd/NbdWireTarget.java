package xenback.block.nbd;

import static xenback.fuzz.FuzzTarget.require;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import xenback.block.Await;
import xenback.fuzz.FaultLog;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;
import xenback.xen.io.EventLoop;

/**
 * Any bytes from an NBD client to a running server: each request is answered once in the form that was agreed on, broken
 * ones end this connection alone, and memory and descriptors come back.
 */
public final class NbdWireTarget implements FuzzTarget {
    private static final int DISK_BYTES = 256 << 10;
    private static final int MOST_BYTES = 96 << 10; // what the socket takes while nobody reads the replies

    private record Asked(int command, long length) {}

    private final FaultLog log = new FaultLog();
    private final Path dir = Files.createTempDirectory("fuzz-nbd");
    private final Path socket = dir.resolve("socket");
    private final EventLoop loop = EventLoop.start("fuzz-nbd", EventLoop.Engine.AUTO);
    private final MemoryDisk disk = new MemoryDisk(DISK_BYTES);
    private final MemoryDisk still = new MemoryDisk(DISK_BYTES);
    private final NbdServer server;
    private final NbdClient bystander;

    // Of one input.
    private final Map<Long, Asked> asked = new HashMap<>();
    private boolean structured;
    private boolean clean;

    public NbdWireTarget() throws IOException {
        still.readOnly = true;
        server = NbdServer.start(
                socket,
                List.of(
                        new NbdExport(NbdBytes.EXPORT, "", disk, loop),
                        new NbdExport(NbdBytes.READ_ONLY, "", still, loop)));
        bystander = NbdClient.unix(socket);
        bystander.greet(true);
        bystander.structuredReply();
        bystander.go(NbdBytes.EXPORT);
    }

    @Override
    public void run(FuzzInput in) throws Exception {
        disk.readError = in.rarely() ? 5 : 0;
        disk.writeError = in.rarely() ? 28 : 0;
        disk.flushError = in.rarely() ? 5 : 0;
        disk.canDiscard = !in.rarely();
        asked.clear();
        clean = true;
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        int options = negotiate(in, out);
        request(in, out);
        try (NbdClient client = NbdClient.unix(socket)) {
            client.receive(NbdProtocol.GREETING_BYTES);
            client.send(NbdClient.buffer(out.size()).put(out.toByteArray()));
            client.channel.shutdownOutput();
            for (int i = 0; i < options; i++) {
                client.optionReplies();
            }
            readReplies(client);
        } catch (IOException | AssertionError e) {
            if (clean) {
                throw new AssertionError("a client that broke nothing lost its connection", e);
            }
        }
        require(!clean || asked.isEmpty(), "no reply to " + asked);
        disk.readError = 0;
        require(bystander.read(99, 0, 512).length == 512, "the other client's read");
        await();
        log.check();
    }

    /** Returns how many options were sent, all of them answered if nothing was broken. */
    private int negotiate(FuzzInput in, ByteArrayOutputStream out) {
        out.writeBytes(new byte[] {0, 0, 0, 3});
        int options = 1;
        structured = in.flag();
        if (structured) {
            NbdBytes.option(out, NbdProtocol.OPT_STRUCTURED_REPLY, new byte[0]);
            options++;
            if (in.flag()) {
                NbdBytes.option(
                        out,
                        NbdProtocol.OPT_SET_META_CONTEXT,
                        NbdClient.metaContext(NbdBytes.EXPORT, NbdProtocol.BASE_ALLOCATION));
                options++;
            }
        }
        while (in.rarely()) {
            clean = false; // may have ended the negotiation, or come into transmission early
            int option = in.below(12);
            NbdBytes.option(out, option, NbdBytes.body(in, option));
        }
        NbdBytes.option(
                out, NbdProtocol.OPT_GO, NbdClient.infoRequest(in.rarely() ? NbdBytes.READ_ONLY : NbdBytes.EXPORT));
        return options;
    }

    private void request(FuzzInput in, ByteArrayOutputStream out) {
        boolean open = true;
        while (in.more() && out.size() < MOST_BYTES && open) {
            if (in.rarely()) {
                out.writeBytes(in.bytes(1 + in.u8()));
                clean = false;
                continue;
            }
            int command = in.rarely() ? in.u16() : in.pick(0, 1, 3, 4, 6, 7, 0, 1);
            int flags = in.rarely() ? in.u16() : in.pick(0, 0, 0, 1, 2, 4, 8);
            long cookie = (long) in.u16() << 48 | asked.size();
            long offset = in.rarely() ? in.u64() : 512L * in.u16() % DISK_BYTES;
            int length = command == NbdProtocol.CMD_FLUSH && !in.rarely() ? 0 : length(in);
            offset = command == NbdProtocol.CMD_FLUSH && length == 0 ? 0 : offset;
            out.writeBytes(NbdClient.requestHeader(flags, command, cookie, offset, length)
                    .array());
            open = command != NbdProtocol.CMD_DISC;
            if (open) {
                asked.put(cookie, new Asked(command, Integer.toUnsignedLong(length)));
            }
            if (command == NbdProtocol.CMD_WRITE) {
                int most = MOST_BYTES + 4096 - out.size();
                boolean whole = length >= 0 && length <= most;
                out.writeBytes(new byte[whole ? length : in.below(most)]);
                clean &= whole;
                open = whole;
            }
        }
    }

    private static int length(FuzzInput in) {
        return switch (in.below(8)) {
            case 0 -> in.u8();
            case 1 -> 512 * in.u16();
            case 2 -> in.rarely() ? in.u32() : 512;
            default -> 512 * (1 + in.below(16));
        };
    }

    private void readReplies(NbdClient client) throws IOException {
        while (true) {
            NbdClient.Reply reply;
            try {
                reply = client.reply();
            } catch (EOFException e) {
                require(e.getMessage().startsWith("after 0 of 16 "), "the server hung up within a reply: " + e);
                return;
            }
            Asked question = asked.remove(reply.cookie());
            require(question != null || !clean, "a reply to nothing, or a second one: " + reply);
            if (question == null) {
                throw new IOException("out of step");
            }
            boolean mustBeChunk = structured
                    && (question.command() == NbdProtocol.CMD_READ
                            || question.command() == NbdProtocol.CMD_BLOCK_STATUS);
            require(!mustBeChunk || !reply.simple(), "a simple reply to " + question);
            require(reply.simple() || structured, "a chunk that was not negotiated");
            require(reply.simple() || (reply.flags() & NbdProtocol.CHUNK_FLAG_DONE) != 0, "a chunk without an end");
            if (reply.simple() && reply.error() == 0 && question.command() == NbdProtocol.CMD_READ) {
                client.receive((int) question.length());
            }
        }
    }

    /** Waits until only the bystander is left. */
    private void await() throws Exception {
        Await.until(() -> server.connections() == 1, () -> "the end of a connection whose client has gone");
        require(server.counters(NbdBytes.EXPORT).inFlight() == 0, "operations are left");
    }

    @Override
    public void close() throws IOException {
        bystander.close();
        server.close();
        loop.close();
        log.close();
        Files.deleteIfExists(dir);
    }
}
