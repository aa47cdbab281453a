package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.xen.io.EventLoop;

/** Every command over a real socket, its bytes and its effect on the disk. */
@ParameterizedClass
@EnumSource(
        value = EventLoop.Engine.class,
        names = {"URING", "THREADS"})
@Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
final class NbdTransmissionTest {
    @Parameter
    EventLoop.Engine engine;

    private NbdFixture fixture;
    private NbdClient client;

    @BeforeEach
    void open() throws IOException {
        fixture = new NbdFixture(engine);
        client = fixture.connect();
    }

    @AfterEach
    void close() throws IOException {
        client.close();
        fixture.close();
    }

    @Test
    void readsWhatIsOnTheDisk() throws IOException {
        fixture.disk.contents.set(ValueLayout.JAVA_BYTE, 4096, (byte) 77);
        byte[] data = client.read(5, 4096, 512);
        assertThat(data).hasSize(512).startsWith(77, 0);
        assertThat(fixture.counters().readBytes()).isEqualTo(512);
        assertThat(fixture.counters().requests()).isEqualTo(1);
    }

    @Test
    void answersReadsBySimpleRepliesWithoutNegotiation() throws IOException {
        fixture.disk.contents.set(ValueLayout.JAVA_BYTE, 0, (byte) 9);
        try (NbdClient plain = fixture.connectPlain()) {
            plain.request(0, NbdProtocol.CMD_READ, 3, 0, 1024);
            NbdClient.Reply reply = plain.reply();
            assertThat(reply.simple()).isTrue();
            assertThat(reply.cookie()).isEqualTo(3);
            assertThat(NbdClient.remaining(plain.receive(1024))).startsWith(9, 0);
            plain.request(0, NbdProtocol.CMD_READ, 4, 1, 512);
            assertThat(plain.reply().error()).isEqualTo(NbdProtocol.EINVAL);
            plain.disconnect();
        }
    }

    @Test
    void writesWhatTheClientSends() throws IOException {
        byte[] payload = random(8192);
        client.write(0, 1, 65536, payload);
        assertSuccess(1);
        assertThat(disk(65536, 8192)).isEqualTo(payload);
        assertThat(fixture.counters().writtenBytes()).isEqualTo(8192);
        assertThat(fixture.disk.flushes).hasValue(0);
    }

    @Test
    void flushesAfterWriteWithFuaAndBeforeTheReply() throws IOException {
        client.write(NbdProtocol.CMD_FLAG_FUA, 1, 0, random(512));
        assertSuccess(1);
        assertThat(fixture.disk.flushes).hasValue(1);
        client.request(NbdProtocol.CMD_FLAG_FUA, NbdProtocol.CMD_READ, 2, 0, 512);
        assertThat(client.reply().error()).isZero();
        assertThat(fixture.disk.flushes).hasValue(1);
    }

    @Test
    void reportsFailureOfTheFlushAfterWriteWithFua() throws IOException {
        fixture.disk.flushError = 28;
        client.write(NbdProtocol.CMD_FLAG_FUA, 1, 0, random(512));
        assertError(1, NbdProtocol.ENOSPC);
    }

    @Test
    void flushes() throws IOException {
        client.request(0, NbdProtocol.CMD_FLUSH, 1, 0, 0);
        assertSuccess(1);
        assertThat(fixture.disk.flushes).hasValue(1);
        client.request(0, NbdProtocol.CMD_FLUSH, 2, 512, 0);
        assertError(2, NbdProtocol.EINVAL);
    }

    @Test
    void trimsAndWritesZeroes() throws IOException {
        fixture.disk.contents.asSlice(0, 8192).fill((byte) 1);
        client.request(0, NbdProtocol.CMD_TRIM, 1, 0, 4096);
        assertSuccess(1);
        assertThat(fixture.disk.discards).hasValue(1);
        client.request(NbdProtocol.CMD_FLAG_NO_HOLE, NbdProtocol.CMD_WRITE_ZEROES, 2, 4096, 4096);
        assertSuccess(2);
        assertThat(fixture.disk.mayDiscardSeen).isFalse();
        assertThat(disk(0, 8192)).containsOnly(0);
        client.request(NbdProtocol.CMD_FLAG_FUA, NbdProtocol.CMD_WRITE_ZEROES, 3, 4096, 4096);
        assertSuccess(3);
        assertThat(fixture.disk.mayDiscardSeen).isTrue();
        assertThat(fixture.disk.flushes).hasValue(1);
    }

    @Test
    void writesZeroesOverRangesLongerThanAnyPayload() throws IOException {
        client.request(0, NbdProtocol.CMD_WRITE_ZEROES, 1, 0, NbdFixture.DISK_BYTES);
        assertSuccess(1);
    }

    @Test
    void reportsBlockStatusWithMergedNeighbours() throws IOException {
        client.write(0, 1, 8192, random(4096));
        client.write(0, 2, 12288, random(4096));
        assertSuccess(1);
        assertSuccess(2);
        client.request(0, NbdProtocol.CMD_BLOCK_STATUS, 3, 0, 65536);
        assertThat(descriptors(3)).containsExactly(8192, 3, 8192, 0, 49152, 3);
        client.request(NbdProtocol.CMD_FLAG_REQ_ONE, NbdProtocol.CMD_BLOCK_STATUS, 4, 0, 65536);
        assertThat(descriptors(4)).containsExactly(8192, 3);
        client.request(0, NbdProtocol.CMD_BLOCK_STATUS, 5, 8704, 512);
        assertThat(descriptors(5)).containsExactly(512, 0);
    }

    @Test
    void answersManyBlockStatusRequestsAtOnce() throws IOException {
        for (int i = 0; i < 300; i++) {
            client.request(0, NbdProtocol.CMD_BLOCK_STATUS, i, 0, 4096);
        }
        for (int i = 0; i < 300; i++) {
            assertThat(descriptors(i)).containsExactly(4096, 3);
        }
    }

    @Test
    void reportsFailureToKnowExtents() throws IOException {
        fixture.disk.extentError = 5;
        client.request(0, NbdProtocol.CMD_BLOCK_STATUS, 3, 0, 65536);
        assertError(3, NbdProtocol.EIO);
    }

    @Test
    void refusesBlockStatusWithoutContext() throws IOException {
        try (NbdClient plain = fixture.connectPlain()) {
            plain.request(0, NbdProtocol.CMD_BLOCK_STATUS, 3, 0, 65536);
            assertThat(plain.reply().error()).isEqualTo(NbdProtocol.EINVAL);
        }
    }

    @Test
    void answersRequestsOfNoLength() throws IOException {
        client.request(0, NbdProtocol.CMD_READ, 1, 0, 0);
        NbdClient.Reply reply = client.reply();
        assertThat(reply.type()).isEqualTo(NbdProtocol.CHUNK_NONE);
        assertThat(reply.flags()).isEqualTo(NbdProtocol.CHUNK_FLAG_DONE);
        client.write(0, 2, 512, new byte[0]);
        assertSuccess(2);
        client.request(0, NbdProtocol.CMD_BLOCK_STATUS, 3, 0, 0);
        assertError(3, NbdProtocol.EINVAL);
    }

    @Test
    void refusesRequestsOutsideTheDiskAndGoesOn() throws IOException {
        long end = NbdFixture.DISK_BYTES;
        client.request(0, NbdProtocol.CMD_READ, 1, end, 512);
        assertError(1, NbdProtocol.EINVAL);
        client.write(0, 2, end - 512, random(1024));
        assertError(2, NbdProtocol.ENOSPC);
        client.request(0, NbdProtocol.CMD_READ, 3, Long.MAX_VALUE - 511, 512);
        assertError(3, NbdProtocol.EINVAL);
        client.request(0, NbdProtocol.CMD_TRIM, 4, -512, 512);
        assertError(4, NbdProtocol.EINVAL);
        assertThat(client.read(5, 0, 512)).hasSize(512);
        assertThat(fixture.counters().errors()).isEqualTo(4);
    }

    @Test
    void refusesRequestsBetweenBlocks() throws IOException {
        client.request(0, NbdProtocol.CMD_READ, 1, 1, 512);
        assertError(1, NbdProtocol.EINVAL);
        client.request(0, NbdProtocol.CMD_READ, 2, 0, 513);
        assertError(2, NbdProtocol.EINVAL);
        client.write(0, 3, 256, random(512));
        assertError(3, NbdProtocol.EINVAL);
    }

    @Test
    void refusesUnknownCommandsAndFlags() throws IOException {
        client.request(0, 5, 1, 0, 512); // CACHE was not offered
        assertError(1, NbdProtocol.EINVAL);
        client.request(0, 65535, 2, 0, 512);
        assertError(2, NbdProtocol.EINVAL);
        client.request(1 << 4, NbdProtocol.CMD_WRITE_ZEROES, 3, 0, 512); // FAST_ZERO was not offered
        assertError(3, NbdProtocol.EINVAL);
        client.write(NbdProtocol.CMD_FLAG_DF, 4, 0, random(512));
        assertError(4, NbdProtocol.EINVAL);
        assertThat(fixture.disk.started).hasValue(0);
    }

    @Test
    void refusesPayloadsLongerThanOffered() throws IOException {
        int tooLong = NbdProtocol.MAX_PAYLOAD_BYTES + 512;
        client.request(0, NbdProtocol.CMD_READ, 1, 0, tooLong);
        assertError(1, NbdProtocol.EINVAL);
        client.request(NbdProtocol.CMD_FLAG_DF, NbdProtocol.CMD_READ, 2, 0, tooLong);
        assertError(2, NbdProtocol.EOVERFLOW);
        client.write(0, 3, 0, new byte[tooLong]);
        assertError(3, NbdProtocol.EINVAL);
        assertThat(client.read(4, 0, 512)).hasSize(512);
    }

    @Test
    void passesErrorsOfTheDiskOn() throws IOException {
        fixture.disk.readError = 5;
        client.request(0, NbdProtocol.CMD_READ, 1, 0, 512);
        assertError(1, NbdProtocol.EIO);
        fixture.disk.writeError = 27; // EFBIG
        client.write(0, 2, 0, random(512));
        assertError(2, NbdProtocol.ENOSPC);
        fixture.disk.writeError = 95;
        client.request(0, NbdProtocol.CMD_TRIM, 3, 0, 512);
        assertError(3, NbdProtocol.ENOTSUP);
    }

    @Test
    void refusesWritesToReadOnlyDisks() throws IOException {
        fixture.disk.readOnly = true;
        try (NbdClient reader = fixture.connect()) {
            reader.write(0, 1, 0, random(512));
            assertThat(reader.reply().error()).isEqualTo(NbdProtocol.EPERM);
            reader.request(0, NbdProtocol.CMD_TRIM, 2, 0, 512);
            assertThat(reader.reply().error()).isEqualTo(NbdProtocol.EPERM);
            assertThat(reader.read(3, 0, 512)).hasSize(512);
        }
    }

    @Test
    void refusesReadsBeyondTheEndOfDiskThatShrank() throws IOException {
        fixture.disk.sizeBytes = 1 << 20;
        client.request(0, NbdProtocol.CMD_READ, 1, 1 << 20, 512);
        assertError(1, NbdProtocol.EINVAL);
    }

    @Test
    void carriesTheLongestPayloads() throws IOException {
        byte[] payload = random(NbdProtocol.MAX_PAYLOAD_BYTES);
        client.write(0, 1, 0, payload);
        assertSuccess(1);
        assertThat(client.read(2, 0, payload.length)).isEqualTo(payload);
    }

    @Test
    void answersPipelinedRequestsEachOnce() throws IOException {
        ByteBuffer all = NbdClient.buffer(256 * 28);
        for (int i = 0; i < 256; i++) {
            fixture.disk.contents.set(ValueLayout.JAVA_INT, i * 4096L, i);
            all.put(NbdClient.requestHeader(0, NbdProtocol.CMD_READ, i, i * 4096L, 4096)
                    .flip());
        }
        fixture.disk.holding = true;
        client.send(all);
        NbdFixture.await(() -> fixture.disk.started.get() == 256);
        fixture.disk.release(true);
        List<Long> cookies = new ArrayList<>();
        for (int i = 0; i < 256; i++) {
            NbdClient.Reply reply = client.reply();
            cookies.add(reply.cookie());
            assertThat(reply.data().getLong()).isEqualTo(reply.cookie() * 4096);
            assertThat(Integer.reverseBytes(reply.data().getInt())).isEqualTo((int) reply.cookie());
        }
        assertThat(cookies).hasSize(256).doesNotHaveDuplicates().startsWith(255L, 254L);
    }

    @Test
    void startsNoMoreThanTheBoundOfRequests() throws IOException {
        fixture.disk.holding = true;
        for (int i = 0; i < 300; i++) {
            client.request(0, NbdProtocol.CMD_READ, i, 0, 512);
        }
        NbdFixture.await(() -> fixture.disk.started.get() == 256);
        assertThat(fixture.counters().inFlight()).isEqualTo(256);
        assertThat(fixture.counters().requests()).isEqualTo(256);
        fixture.disk.release(false);
        for (int i = 0; i < 300; i++) {
            assertThat(client.reply().cookie()).isEqualTo(i);
        }
        assertThat(fixture.counters().inFlight()).isZero();
    }

    @Test
    void keepsWritesOfAllSizesApart() throws Exception {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        byte[] expected = new byte[NbdFixture.DISK_BYTES];
        int writes = 400;
        Thread sender = Thread.ofVirtual().start(() -> {
            try {
                for (int i = 0; i < writes; i++) {
                    int blocks = 1 << random.nextInt(11);
                    byte[] payload = new byte[512 * blocks];
                    random.nextBytes(payload);
                    int offset = random.nextInt((NbdFixture.DISK_BYTES - payload.length) / 512) * 512;
                    System.arraycopy(payload, 0, expected, offset, payload.length);
                    client.write(0, i, offset, payload);
                }
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });
        for (int i = 0; i < writes; i++) {
            assertSuccess(i); // the disk completes in order, so later writes win here as there
        }
        sender.join();
        MemorySegment difference = MemorySegment.ofArray(expected);
        assertThat(difference.mismatch(fixture.disk.contents))
                .as("seed %d", seed)
                .isEqualTo(-1);
        assertThat(client.read(1, 0, 1 << 20)).isEqualTo(disk(0, 1 << 20));
    }

    @Test
    void keepsPayloadsOfHeldWritesUntilTheyComplete() throws IOException {
        fixture.disk.holding = true;
        byte[] expected = random(200 * 8192);
        for (int i = 0; i < 200; i++) {
            byte[] payload = new byte[8192];
            System.arraycopy(expected, i * 8192, payload, 0, 8192);
            client.write(0, i, i * 8192L, payload);
        }
        NbdFixture.await(() -> fixture.disk.started.get() == 200);
        fixture.disk.release(true);
        for (int i = 199; i >= 0; i--) {
            assertSuccess(i);
        }
        assertThat(disk(0, expected.length)).isEqualTo(expected);
    }

    @Test
    void takesRequestsThatCameWithTheHandshake() throws IOException {
        try (NbdClient eager = NbdClient.unix(fixture.socket)) {
            eager.greet(true);
            byte[] go = NbdClient.infoRequest("disk");
            eager.send(NbdClient.buffer(16 + go.length + 28)
                    .putLong(NbdProtocol.IHAVEOPT)
                    .putInt(NbdProtocol.OPT_GO)
                    .putInt(go.length)
                    .put(go)
                    .put(NbdClient.requestHeader(0, NbdProtocol.CMD_FLUSH, 7, 0, 0)
                            .flip()));
            assertThat(eager.optionReplies().getLast().type()).isEqualTo(NbdProtocol.REP_ACK);
            assertThat(eager.reply().cookie()).isEqualTo(7);
        }
    }

    @Test
    void finishesRunningRequestsAfterDisconnect() throws IOException {
        fixture.disk.holding = true;
        client.request(0, NbdProtocol.CMD_READ, 1, 0, 512);
        client.request(0, NbdProtocol.CMD_DISC, 0, 0, 0);
        NbdFixture.await(() -> fixture.disk.started.get() == 1);
        fixture.disk.release(false);
        assertThat(client.reply().cookie()).isEqualTo(1);
        client.assertEnd();
        NbdFixture.await(() -> fixture.counters().connections() == 0);
        assertThat(fixture.counters().dropped()).isZero();
    }

    @Test
    void servesSeveralConnectionsThroughOneQueue() throws IOException {
        try (NbdClient second = fixture.connect()) {
            NbdFixture.await(() -> fixture.counters().connections() == 2);
            assertThat(fixture.disk.openQueues).hasValue(1);
            byte[] payload = random(4096);
            client.write(0, 1, 0, payload);
            assertSuccess(1);
            assertThat(second.read(1, 0, 4096)).isEqualTo(payload);
            second.disconnect();
        }
        assertThat(client.read(2, 0, 512)).hasSize(512);
    }

    private List<Integer> descriptors(long cookie) throws IOException {
        NbdClient.Reply reply = client.reply();
        assertThat(reply.cookie()).isEqualTo(cookie);
        assertThat(reply.type()).isEqualTo(NbdProtocol.CHUNK_BLOCK_STATUS);
        assertThat(reply.data().getInt()).isEqualTo(NbdExtents.CONTEXT_ID);
        List<Integer> numbers = new ArrayList<>();
        while (reply.data().hasRemaining()) {
            numbers.add(reply.data().getInt());
        }
        return numbers;
    }

    private void assertSuccess(long cookie) throws IOException {
        NbdClient.Reply reply = client.reply();
        assertThat(reply.cookie()).isEqualTo(cookie);
        assertThat(reply.error()).isZero();
        assertThat(reply.simple()).isTrue();
    }

    private void assertError(long cookie, int error) throws IOException {
        NbdClient.Reply reply = client.reply();
        assertThat(reply.cookie()).isEqualTo(cookie);
        assertThat(reply.error()).isEqualTo(error);
    }

    private byte[] disk(long offset, long length) {
        return fixture.disk.contents.asSlice(offset, length).toArray(ValueLayout.JAVA_BYTE);
    }

    private static byte[] random(int bytes) {
        byte[] octets = new byte[bytes];
        new Random(bytes).nextBytes(octets);
        return octets;
    }
}
