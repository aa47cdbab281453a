package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import xenback.xen.io.EventLoop;

/** The negotiation over a real socket, and its pure part against bytes in any pieces. */
@Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
final class NbdHandshakeTest {
    private Path directory;
    private EventLoop loop;
    private NbdServer server;
    private NbdClient client;
    private final MemoryDisk first = new MemoryDisk(1 << 20);
    private final MemoryDisk second = new MemoryDisk(2 << 20);

    @BeforeEach
    void open() throws IOException {
        directory = Files.createTempDirectory("nbd");
        loop = EventLoop.start("nbd-test");
        server = NbdServer.start(directory.resolve("s"), exports());
        client = NbdClient.unix(directory.resolve("s"));
    }

    private List<NbdExport> exports() {
        return List.of(new NbdExport("one", "the first", first, loop), new NbdExport("two", "", second, loop));
    }

    @AfterEach
    void close() throws IOException {
        client.close();
        server.close();
        loop.close();
        Files.delete(directory);
    }

    @Test
    void listsExportsWithDescriptions() throws IOException {
        client.greet(true);
        client.option(NbdProtocol.OPT_LIST, new byte[0]);
        List<NbdClient.OptionReply> replies = client.optionReplies();
        assertThat(replies).hasSize(3);
        assertThat(replies).extracting(NbdClient.OptionReply::option).containsOnly(NbdProtocol.OPT_LIST);
        assertThat(replies.get(0).type()).isEqualTo(NbdProtocol.REP_SERVER);
        assertThat(replies.get(0).data().getInt()).isEqualTo(3);
        assertThat(text(replies.get(0).data())).isEqualTo("onethe first");
        assertThat(text(replies.get(1).data().position(4))).isEqualTo("two");
        client.option(NbdProtocol.OPT_LIST, new byte[1]);
        assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ERR_INVALID);
    }

    @Test
    void describesAnExportWithBlockSizes() throws IOException {
        client.greet(true);
        client.option(
                NbdProtocol.OPT_INFO,
                NbdClient.infoRequest("one", NbdProtocol.INFO_NAME, NbdProtocol.INFO_DESCRIPTION));
        List<NbdClient.OptionReply> replies = client.optionReplies();
        assertThat(replies).hasSize(5);
        ByteBuffer export = replies.get(0).data();
        assertThat(export.getShort()).isEqualTo((short) NbdProtocol.INFO_EXPORT);
        assertThat(export.getLong()).isEqualTo(1 << 20);
        assertThat(export.getShort()).isEqualTo((short) 0b1_0110_1101); // no DF without structured replies
        ByteBuffer sizes = replies.get(1).data();
        assertThat(sizes.getShort()).isEqualTo((short) NbdProtocol.INFO_BLOCK_SIZE);
        assertThat(sizes.getInt()).isEqualTo(512);
        assertThat(sizes.getInt()).isEqualTo(4096);
        assertThat(sizes.getInt()).isEqualTo(32 << 20);
        assertThat(text(replies.get(2).data().position(2))).isEqualTo("one");
        assertThat(text(replies.get(3).data().position(2))).isEqualTo("the first");
    }

    @Test
    void offersOnlyWhatTheDiskCan() {
        first.canFlush = false;
        first.canDiscard = false;
        first.canWriteZeroes = false;
        assertThat(NbdAgreement.transmissionFlags(first, false)).isEqualTo(0b1_0000_0001);
        first.canFlush = true;
        assertThat(NbdAgreement.transmissionFlags(first, true)).isEqualTo(0b1_1000_1101);
        first.canDiscard = true;
        first.canWriteZeroes = true;
        first.readOnly = true;
        assertThat(NbdAgreement.transmissionFlags(first, true)).isEqualTo(0b1_1000_1111);
        first.readOnly = false;
        assertThat(NbdAgreement.transmissionFlags(first, true)).isEqualTo(0b1_1110_1101);
    }

    @Test
    void entersTransmissionAfterInfoAndAfterRefusals() throws IOException {
        client.greet(true);
        client.option(NbdProtocol.OPT_GO, NbdClient.infoRequest("none"));
        assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ERR_UNKNOWN);
        client.option(NbdProtocol.OPT_GO, NbdClient.infoRequest("")); // ambiguous: there are two
        assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ERR_UNKNOWN);
        client.option(5, new byte[0]); // STARTTLS
        assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ERR_UNSUP);
        client.option(11, new byte[0]); // EXTENDED_HEADERS
        assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ERR_UNSUP);
        client.option(NbdProtocol.OPT_STRUCTURED_REPLY, new byte[1]);
        assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ERR_INVALID);
        client.structuredReply();
        assertThat(client.go("two").getLong(0)).isEqualTo(2 << 20);
        assertThat(client.read(1, 0, 512)).hasSize(512);
    }

    @Test
    void takesTheEmptyNameForTheOnlyExport() throws IOException {
        try (NbdServer single =
                        NbdServer.start(directory.resolve("t"), exports().subList(0, 1));
                NbdClient anonymous = NbdClient.unix(directory.resolve("t"))) {
            anonymous.greet(true);
            assertThat(anonymous.go("").getLong(0)).isEqualTo(1 << 20);
            assertThat(single.connections()).isEqualTo(1);
        }
    }

    @Test
    void servesOldClientsByExportName() throws IOException {
        client.greet(false);
        client.option(NbdProtocol.OPT_EXPORT_NAME, "two".getBytes(StandardCharsets.UTF_8));
        ByteBuffer answer = client.receive(8 + 2 + 124);
        assertThat(answer.getLong()).isEqualTo(2 << 20);
        client.request(0, NbdProtocol.CMD_READ, 9, 0, 512);
        assertThat(client.reply().cookie()).isEqualTo(9);
        client.receive(512);
        try (NbdClient modern = NbdClient.unix(directory.resolve("s"))) {
            modern.greet(true);
            modern.option(NbdProtocol.OPT_EXPORT_NAME, "one".getBytes(StandardCharsets.UTF_8));
            modern.receive(10);
            modern.request(0, NbdProtocol.CMD_FLUSH, 9, 0, 0);
            assertThat(modern.reply().cookie()).isEqualTo(9);
        }
        try (NbdClient wrong = NbdClient.unix(directory.resolve("s"))) {
            wrong.greet(true);
            wrong.option(NbdProtocol.OPT_EXPORT_NAME, "three".getBytes(StandardCharsets.UTF_8));
            wrong.assertEnd();
        }
    }

    @Test
    void acknowledgesAbort() throws IOException {
        client.greet(true);
        client.option(NbdProtocol.OPT_ABORT, new byte[0]);
        assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ACK);
        client.assertEnd();
        NbdFixture.await(() -> server.connections() == 0);
    }

    @Test
    void selectsBaseAllocationOnlyWhereExtentsAreKnown() throws IOException {
        client.greet(true);
        assertThat(client.setMetaContext("one", "base:allocation").getLast().type())
                .isEqualTo(NbdProtocol.REP_ERR_INVALID); // structured replies come first
        client.structuredReply();
        List<NbdClient.OptionReply> replies = client.setMetaContext("one", "qemu:dirty-bitmap:x", "base:allocation");
        assertThat(replies).hasSize(2);
        assertThat(replies.getFirst().data().getInt()).isEqualTo(NbdExtents.CONTEXT_ID);
        assertThat(text(replies.getFirst().data())).isEqualTo("base:allocation");
        assertThat(client.setMetaContext("one", "base:")).hasSize(1);
        assertThat(client.setMetaContext("none", "base:allocation").getLast().type())
                .isEqualTo(NbdProtocol.REP_ERR_UNKNOWN);
        second.knowsExtents = false;
        assertThat(client.setMetaContext("two", "base:allocation")).hasSize(1);
        for (String query : new String[] {"base:", "base:allocation"}) {
            client.option(NbdProtocol.OPT_LIST_META_CONTEXT, NbdClient.metaContext("one", query));
            assertThat(client.optionReplies()).hasSize(2);
        }
        client.option(NbdProtocol.OPT_LIST_META_CONTEXT, NbdClient.metaContext("one"));
        assertThat(client.optionReplies()).hasSize(2);
        client.option(NbdProtocol.OPT_LIST_META_CONTEXT, NbdClient.metaContext("one", "other:"));
        assertThat(client.optionReplies()).hasSize(1);
    }

    @Test
    void forgetsContextsSelectedForAnotherExport() throws IOException {
        client.greet(true);
        client.structuredReply();
        client.setMetaContext("one", "base:allocation");
        client.go("two");
        client.request(0, NbdProtocol.CMD_BLOCK_STATUS, 1, 0, 512);
        assertThat(client.reply().error()).isEqualTo(NbdProtocol.EINVAL);
    }

    @Test
    void refusesOptionsWhoseLengthsDoNotAddUp() throws IOException {
        client.greet(true);
        client.structuredReply();
        byte[][] lies = {
            {},
            {0, 0, 0, 0},
            {0, 0, 0, 9, 'o', 'n', 'e', 0, 0},
            {-1, -1, -1, -1, 0, 0},
            {0, 0, 0, 3, 'o', 'n', 'e', 0, 2, 0, 0},
            {0, 0, 0, 3, 'o', 'n', 'e', 0, 0, 0}
        };
        for (byte[] lie : lies) {
            client.option(NbdProtocol.OPT_GO, lie);
            assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ERR_INVALID);
        }
        byte[][] contexts = {
            {},
            {0, 0, 0, 3, 'o', 'n', 'e', 0, 0, 0, 1},
            {0, 0, 0, 3, 'o', 'n', 'e', 0, 0, 0, 0, 0},
            {0, 0, 0, 3, 'o', 'n', 'e', -1, -1, -1, -1, 0, 0, 0, 0},
            {0, 0, 0, 3, 'o', 'n', 'e', 0, 0, 0, 1, -1, -1, -1, -1},
            {0x7f, -1, -1, -1, 0, 0, 0, 0}
        };
        for (byte[] lie : contexts) {
            client.option(NbdProtocol.OPT_SET_META_CONTEXT, lie);
            assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ERR_INVALID);
        }
        client.go("one");
    }

    @Test
    void dropsOptionsTooLongAndGoesOn() throws IOException {
        client.greet(true);
        client.option(NbdProtocol.OPT_GO, new byte[1 << 20]);
        assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ERR_TOO_BIG);
        client.go("one");
    }

    @Test
    void closesOnWrongMagicAndUnknownClientFlags() throws IOException {
        client.receive(18);
        client.send(NbdClient.buffer(4).putInt(7));
        client.assertEnd();
        try (NbdClient other = NbdClient.unix(directory.resolve("s"))) {
            other.greet(true);
            other.send(
                    NbdClient.buffer(16).putLong(1).putInt(NbdProtocol.OPT_LIST).putInt(0));
            other.assertEnd();
        }
        try (NbdClient old = NbdClient.unix(directory.resolve("s"))) {
            old.receive(18);
            old.send(NbdClient.buffer(4).putInt(0));
            old.option(NbdProtocol.OPT_LIST, new byte[0]); // not for clients without FIXED_NEWSTYLE
            old.assertEnd();
        }
    }

    @Test
    void closesOnEndlessNegotiation() throws IOException {
        client.greet(true);
        for (int i = 0; i < NbdHandshake.MAX_OPTIONS; i++) {
            client.option(99, new byte[0]);
            assertThat(client.optionReply().type()).isEqualTo(NbdProtocol.REP_ERR_UNSUP);
        }
        client.option(99, new byte[0]);
        client.assertEnd();
    }

    @Test
    void answersTheSameHoweverTheBytesAreCut() {
        ByteBuffer script = NbdClient.buffer(4096);
        script.putInt(3);
        option(script, NbdProtocol.OPT_STRUCTURED_REPLY, new byte[0]);
        option(script, NbdProtocol.OPT_LIST, new byte[0]);
        option(script, 77, new byte[300]);
        option(script, NbdProtocol.OPT_SET_META_CONTEXT, NbdClient.metaContext("two", "base:allocation"));
        option(script, NbdProtocol.OPT_INFO, NbdClient.infoRequest("one", NbdProtocol.INFO_NAME));
        option(script, NbdProtocol.OPT_GO, NbdClient.infoRequest("two"));
        script.flip();
        byte[] whole = negotiate(NbdClient.remaining(script.duplicate()), new Random(1), 4096);
        assertThat(whole).isNotEmpty();
        for (int pieceBytes = 1; pieceBytes < 40; pieceBytes++) {
            assertThat(negotiate(NbdClient.remaining(script.duplicate()), new Random(pieceBytes), pieceBytes))
                    .isEqualTo(whole);
        }
    }

    @Test
    void survivesGarbage() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        int[] options = {1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 0, -1};
        for (int round = 0; round < 3000; round++) {
            ByteBuffer script = NbdClient.buffer(8192);
            script.putInt(random.nextInt(20) == 0 ? random.nextInt() : 3);
            for (int i = random.nextInt(8); i > 0; i--) {
                byte[] data = random.nextBoolean()
                        ? NbdClient.metaContext("one", "base:allocation", "x")
                        : NbdClient.infoRequest("two", 1, 2, 3, 99);
                for (int flips = random.nextInt(4); flips > 0; flips--) {
                    data[random.nextInt(data.length)] = (byte) random.nextInt();
                }
                option(script, options[random.nextInt(options.length)], data);
                if (random.nextInt(10) == 0) {
                    script.put(script.position() - 1 - random.nextInt(16), (byte) random.nextInt());
                }
            }
            byte[] octets = NbdClient.remaining(script.flip());
            try {
                negotiate(octets, random, 1 + random.nextInt(200));
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed + " round " + round, e);
            }
        }
    }

    /** Feeds the pure handshake in pieces and returns all it said. */
    private byte[] negotiate(byte[] script, Random random, int pieceBytes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment input = arena.allocate(NbdHandshake.INPUT_BYTES);
            MemorySegment output = arena.allocate(NbdHandshake.outputBytes(exports()));
            NbdHandshake handshake = new NbdHandshake(exports(), input, output);
            handshake.greet();
            List<Byte> said = new ArrayList<>();
            int at = 0;
            while (true) {
                NbdHandshake.Step step = handshake.step();
                for (byte octet : output.asSlice(0, handshake.outputLength()).toArray(ValueLayout.JAVA_BYTE)) {
                    said.add(octet);
                }
                if (step == NbdHandshake.Step.RECEIVE && at < script.length) {
                    int room = handshake.receiveFrom();
                    int piece = Math.min(1 + random.nextInt(pieceBytes), script.length - at);
                    piece = Math.min(piece, NbdHandshake.INPUT_BYTES - room);
                    MemorySegment.copy(script, at, input, ValueLayout.JAVA_BYTE, room, piece);
                    handshake.received(piece);
                    at += piece;
                } else if (step != NbdHandshake.Step.SEND) {
                    byte[] words = new byte[said.size()];
                    for (int i = 0; i < words.length; i++) {
                        words[i] = said.get(i);
                    }
                    return words;
                }
            }
        }
    }

    private static void option(ByteBuffer script, int option, byte[] data) {
        script.putLong(NbdProtocol.IHAVEOPT).putInt(option).putInt(data.length).put(data);
    }

    private static String text(ByteBuffer words) {
        return new String(NbdClient.remaining(words), StandardCharsets.UTF_8);
    }
}
