package xenback.xen.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.store.Events;
import xenback.xen.store.StoreClient;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/** Hostile bytes on one socket, a bystander on another: only the first may suffer. */
@Timeout(60)
class XenstoredWireTest {
    private static final int DOMID = 3;

    @TempDir
    private Path dir;

    private Xenstored store;
    private StoreClient bystander;
    private final Events seen = new Events();

    @BeforeEach
    void start() throws Exception {
        store = Xenstored.start(dir.resolve("run"));
        store.introduce(DOMID);
        bystander = StoreClient.connect(store.socket());
        bystander.write(StorePath.of("/local/domain/3"), "");
        bystander.setPermissions(StorePath.of("/local/domain/3"), List.of(StorePermission.parse("n3")));
        bystander.watch(StorePath.of("/bystander"), seen);
        seen.next();
    }

    @AfterEach
    void close() throws Exception {
        bystander.write(StorePath.of("/bystander/alive"), "yes");
        assertThat(bystander.read(StorePath.of("/bystander/alive"))).contains("yes");
        assertThat(seen.next()).isEqualTo("/bystander/alive");
        assertThat(bystander.isConnected()).isTrue();
        bystander.close();
        store.close();
    }

    @Test
    void dropsWhoSendsALengthPastTheLimit() throws Exception {
        for (int length : new int[] {4097, Integer.MAX_VALUE, -1}) {
            try (RawStore raw = new RawStore(store.socket(DOMID))) {
                raw.send(RawStore.bytes(16)
                        .putInt(2)
                        .putInt(1)
                        .putInt(0)
                        .putInt(length)
                        .flip());
                raw.awaitEnd();
            }
        }
        assertThat(store.droppedConnections()).isEqualTo(3);
    }

    @Test
    void answersUnknownTypesWithAnError() throws Exception {
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            for (int type : new int[] {15, 16, 20, 23, 26, 1000, -1, Integer.MIN_VALUE}) {
                raw.send(RawStore.bytes(16)
                        .putInt(type)
                        .putInt(9)
                        .putInt(0)
                        .putInt(0)
                        .flip());
                assertThat(raw.receive()).isEqualTo(new StoreMessage(MessageType.ERROR, 9, 0, "ENOSYS\0"));
            }
        }
    }

    @Test
    void answersBodiesThatAreNoneWithAnError() throws Exception {
        String[] bodies = {
            "", "\0", "x", "/a b\0", "/a//b\0", "/a/\0", "//\0", "\0\0\0", "@introduceDomain\0", "/a\0b\0", "/\u00ff\0"
        };
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            for (String body : bodies) {
                for (MessageType type : List.of(
                        MessageType.READ,
                        MessageType.DIRECTORY,
                        MessageType.GET_PERMS,
                        MessageType.MKDIR,
                        MessageType.RM)) {
                    assertThat(raw.ask(type, body)).as("%s of %s", type, body).isEqualTo("EINVAL\0");
                }
            }
            for (String body : new String[] {"", "w", "w\0", "w\0t", "w\0t\0001\0", "\0t\0", "/a b\0t\0"}) {
                assertThat(raw.ask(MessageType.WATCH, body)).as(body).isEqualTo("EINVAL\0");
                assertThat(raw.ask(MessageType.UNWATCH, body)).as(body).isEqualTo("EINVAL\0");
            }
            for (String body : new String[] {"", "x\0", "-1\0", "99999999999\0", "1", "1\0002\0"}) {
                assertThat(raw.ask(MessageType.GET_DOMAIN_PATH, body)).as(body).isEqualTo("EINVAL\0");
                assertThat(raw.ask(MessageType.IS_DOMAIN_INTRODUCED, body))
                        .as(body)
                        .isEqualTo("EINVAL\0");
            }
            assertThat(raw.ask(MessageType.WRITE, "no-terminator")).isEqualTo("EINVAL\0");
        }
    }

    @Test
    void takesAMessageByteByByteAndManyAtOnce() throws Exception {
        ByteBuffer message = RawStore.bytes(64);
        new StoreMessage(MessageType.WRITE, 1, 0, "slow\0v").encode(message);
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            message.flip();
            while (message.hasRemaining()) {
                raw.send(ByteBuffer.wrap(new byte[] {message.get()}));
            }
            assertThat(raw.receive().body()).isEqualTo("OK\0");

            ByteBuffer many = RawStore.bytes(100_000);
            int count = 0;
            while (many.remaining() > 64) {
                new StoreMessage(MessageType.READ, ++count, 0, "slow\0").encode(many);
            }
            raw.send(many.flip());
            for (int i = 1; i <= count; i++) {
                assertThat(raw.receive()).isEqualTo(new StoreMessage(MessageType.READ, i, 0, "v"));
            }
        }
    }

    @Test
    void doesNotReadFromWhoDoesNotReadItsAnswers() throws Exception {
        bystander.write(StorePath.of("/local/domain/3/large"), "v".repeat(4000));
        long sentBytes = 0;
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            ByteBuffer burst = RawStore.bytes(64 * 1024);
            while (burst.remaining() > 64) {
                new StoreMessage(MessageType.READ, 1, 0, "large\0").encode(burst);
            }
            burst.flip();
            // A store that went on reading would take this for ever, and its memory with it.
            int refusals = 0;
            while (refusals < 100) {
                int before = burst.remaining();
                boolean taken = raw.trySend(burst);
                sentBytes += before - burst.remaining();
                refusals = taken || burst.remaining() < before ? 0 : refusals + 1;
                if (taken) {
                    burst.rewind();
                }
                bystander.write(StorePath.of("/elsewhere"), "a turn of the store");
                assertThat(sentBytes).isLessThan(16 << 20);
            }
        }
    }

    @Test
    void keepsTheEventsOfWhoNeverReadsToAFew() throws Exception {
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            raw.ask(MessageType.WATCH, "w\0" + "t".repeat(1000) + "\0");
            for (int i = 0; i < 5_000; i++) {
                bystander.write(StorePath.of("/local/domain/3/w/" + i), "");
            }
            for (int i = 0; i < 100; i++) {
                bystander.remove(StorePath.of("/local/domain/3/w/" + i));
            }
            bystander.remove(StorePath.of("/local/domain/3/w"));

            raw.send(MessageType.READ, 0, "w\0");
            int events = 0;
            boolean whole = false;
            StoreMessage message = raw.receive();
            while (message.type() == MessageType.WATCH_EVENT) {
                events++;
                whole |= StoreMessage.parts(message.body()).getFirst().equals("w");
                message = raw.receive();
            }
            while (!whole) {
                message = raw.receive();
                events++;
                whole = StoreMessage.parts(message.body()).getFirst().equals("w");
            }
            assertThat(events).isLessThan(5_000);
        }
    }

    @Test
    void outlivesRandomBytes() throws Exception {
        long seed = Long.getLong("seed", System.nanoTime());
        System.out.println("XenstoredWireTest.outlivesRandomBytes -Dseed=" + seed);
        Random random = new Random(seed);
        for (int round = 0; round < 300; round++) {
            try (RawStore raw = new RawStore(round % 2 == 0 ? store.socket(DOMID) : store.socket())) {
                ByteBuffer bytes = RawStore.bytes(8192);
                int messages = random.nextInt(1, 20);
                for (int i = 0; i < messages; i++) {
                    mostlyValid(random, bytes);
                }
                raw.send(bytes.flip());
            } catch (IOException e) {
                assertThat(e.getMessage()).containsAnyOf("reset", "pipe"); // it hung up in the middle, as it may
            }
        }
    }

    /** A message whose type is real most of the time, whose body has the shape of strings, and rarely a broken length. */
    private static void mostlyValid(Random random, ByteBuffer out) {
        int length = random.nextInt(200);
        int type = random.nextInt(10) == 0 ? random.nextInt() : random.nextInt(24);
        if (type == MessageType.RM.number() || type == MessageType.RELEASE.number()) {
            type = MessageType.READ.number(); // as domain 0 these would do what they say to the bystander
        }
        out.putInt(type).putInt(random.nextInt()).putInt(random.nextInt(3));
        out.putInt(random.nextInt(20) == 0 ? random.nextInt() : length);
        String alphabet = "/ab@0\0\0nrwb3 \u00ff";
        for (int i = 0; i < length; i++) {
            out.put((byte) alphabet.charAt(random.nextInt(alphabet.length())));
        }
    }
}
