package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import java.io.IOException;
import java.net.StandardSocketOptions;
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

/** What a bad client does stays with it: after each attack a second client, connected before, still works. */
@ParameterizedClass
@EnumSource(
        value = EventLoop.Engine.class,
        names = {"URING", "THREADS"})
@Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
final class NbdHostileClientTest {
    @Parameter
    EventLoop.Engine engine;

    private NbdFixture fixture;
    private NbdClient good;
    private NbdClient bad;

    @BeforeEach
    void open() throws IOException {
        fixture = new NbdFixture(engine);
        good = fixture.connect();
        bad = fixture.connect();
        NbdFixture.await(() -> fixture.counters().connections() == 2);
    }

    @AfterEach
    void close() throws IOException {
        bad.close();
        assertThat(good.read(99, 4096, 4096)).hasSize(4096);
        good.close();
        fixture.close();
    }

    @Test
    void dropsOnlyTheConnectionWithWrongMagic() throws IOException {
        bad.send(NbdClient.buffer(28).putInt(0x12345678).putLong(0).putLong(0).putLong(0));
        bad.assertEnd();
        NbdFixture.await(() -> fixture.counters().connections() == 1);
        assertThat(fixture.counters().dropped()).isEqualTo(1);
        assertThat(fixture.disk.started).hasValue(0);
    }

    @Test
    void waitsForTheDiskBeforeFreeingMemoryOfDroppedConnection() throws IOException {
        fixture.disk.holding = true;
        bad.request(0, NbdProtocol.CMD_READ, 1, 0, 65536);
        bad.write(0, 2, 0, new byte[65536]);
        bad.send(NbdClient.buffer(28).putInt(0x12345678).putLong(0).putLong(0).putLong(0));
        bad.assertEnd();
        assertThat(fixture.counters().inFlight()).isEqualTo(2);
        assertThat(fixture.counters().connections()).isEqualTo(2);
        fixture.disk.release(false); // the memory disk touches the buffers now
        NbdFixture.await(() -> fixture.counters().connections() == 1);
        assertThat(fixture.counters().inFlight()).isZero();
    }

    @Test
    void survivesClientThatVanishesInTheMiddleOfWrite() throws IOException {
        for (int payload : new int[] {0, 100, 40_000, 600_000}) {
            try (NbdClient vanishing = fixture.connect()) {
                vanishing.request(0, NbdProtocol.CMD_WRITE, 1, 0, 1 << 20);
                vanishing.send(NbdClient.buffer(payload).position(payload));
            }
        }
        NbdFixture.await(() -> fixture.counters().dropped() == 4);
        NbdFixture.await(() -> fixture.counters().connections() == 2);
        assertThat(fixture.disk.started).hasValue(0);
    }

    @Test
    void survivesClientThatVanishesWithRequestsRunning() throws IOException {
        fixture.disk.holding = true;
        for (int i = 0; i < 100; i++) {
            bad.request(0, NbdProtocol.CMD_READ, i, 0, 4096);
        }
        NbdFixture.await(() -> fixture.disk.started.get() == 100);
        bad.close();
        fixture.disk.release(true);
        NbdFixture.await(() -> fixture.counters().connections() == 1);
    }

    @Test
    void stallsOnlyTheClientThatNeverReads() throws Exception {
        int length = 1 << 20;
        Thread flood = Thread.ofVirtual().start(() -> {
            try {
                for (int i = 0; i < 1_000_000; i++) {
                    bad.request(0, NbdProtocol.CMD_READ, i, 0, length);
                }
            } catch (IOException e) {
                assertThat(e).isNotNull(); // the connection is closed below
            }
        });
        // 64 MiB less what the inbox takes, and what the socket swallowed in between.
        NbdFixture.await(() -> fixture.counters().requests() >= 60);
        for (int i = 0; i < 100; i++) {
            assertThat(good.read(i, 0, 4096)).hasSize(4096);
        }
        assertThat(fixture.counters().requests()).isLessThan(100 + 200);
        bad.close();
        flood.join();
        NbdFixture.await(() -> fixture.counters().connections() == 1);
    }

    @Test
    void stallsClientThatSendsOnlyRefusedRequestsAndNeverReads() throws Exception {
        bad.channel.setOption(StandardSocketOptions.SO_SNDBUF, 1 << 20);
        Thread flood = Thread.ofVirtual().start(() -> {
            ByteBuffer many = NbdClient.buffer(28 * 1000);
            for (int i = 0; i < 1000; i++) {
                many.put(NbdClient.requestHeader(0, 99, i, 0, 0).flip());
            }
            try {
                for (int i = 0; i < 10_000; i++) {
                    bad.send(many.duplicate());
                }
            } catch (IOException e) {
                assertThat(e).isNotNull();
            }
        });
        NbdFixture.await(() -> fixture.counters().errors() > 1000);
        for (int i = 0; i < 100; i++) {
            assertThat(good.read(i, 0, 4096)).hasSize(4096);
        }
        bad.close();
        flood.join();
    }

    @Test
    void drainsPayloadOfRefusedWriteWithoutStoringIt() throws IOException {
        bad.request(0, NbdProtocol.CMD_WRITE, 1, 0, 0xFFFF_FE00L); // a lie of 4 GiB
        assertThat(bad.reply().error()).isEqualTo(NbdProtocol.ENOSPC);
        ByteBuffer megabyte = NbdClient.buffer(1 << 20);
        for (int i = 0; i < 100; i++) {
            bad.send(megabyte.duplicate().position(1 << 20));
        }
        assertThat(fixture.counters().requests()).isEqualTo(1);
    }

    @Test
    void hangsUpOnClientsBeyondTheBound() throws IOException {
        List<NbdClient> crowd = new ArrayList<>();
        for (int i = 2; i < NbdServer.MAX_CONNECTIONS; i++) {
            NbdClient halfOpen = NbdClient.unix(fixture.socket);
            halfOpen.receive(18); // says nothing more
            crowd.add(halfOpen);
        }
        try (NbdClient oneTooMany = NbdClient.unix(fixture.socket)) {
            oneTooMany.assertEnd();
        }
        assertThat(fixture.server.connections()).isEqualTo(NbdServer.MAX_CONNECTIONS);
        crowd.removeLast().close();
        NbdFixture.await(() -> fixture.server.connections() < NbdServer.MAX_CONNECTIONS);
        try (NbdClient next = fixture.connect()) {
            assertThat(next.read(1, 0, 512)).hasSize(512);
        }
        for (NbdClient halfOpen : crowd) {
            halfOpen.close();
        }
        NbdFixture.await(() -> fixture.server.connections() == 2);
    }

    @Test
    void survivesGarbage() throws IOException {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int round = 0; round < 150; round++) {
            String where = "seed " + seed + " round " + round;
            assertThatCode(() -> attack(random)).as(where).doesNotThrowAnyException();
            assertThat(good.read(round, 0, 512)).as(where).hasSize(512);
        }
        NbdFixture.await(() -> fixture.server.connections() == 2);
        assertThat(fixture.counters().inFlight()).isZero();
    }

    /** Garbage instead of the greeting's answer, in the handshake, or in transmission after mostly valid requests. */
    private void attack(Random random) throws IOException {
        byte[] noise = new byte[1 + random.nextInt(5000)];
        random.nextBytes(noise);
        ByteBuffer garbage = NbdClient.buffer(noise.length).put(noise);
        int stage = random.nextInt(3);
        try (NbdClient client = stage == 2 ? fixture.connect() : NbdClient.unix(fixture.socket)) {
            try {
                if (stage == 1) {
                    client.greet(true);
                    client.send(NbdClient.buffer(16)
                            .putLong(NbdProtocol.IHAVEOPT)
                            .putInt(random.nextInt(12))
                            .putInt(random.nextBoolean() ? random.nextInt(6000) : random.nextInt()));
                } else if (stage == 2) {
                    for (int i = random.nextInt(50); i > 0; i--) {
                        client.request(
                                1 << random.nextInt(6) >> 1,
                                random.nextInt(9),
                                random.nextLong(),
                                random.nextBoolean() ? 512L * random.nextInt(1000) : random.nextLong(),
                                random.nextBoolean() ? 512L * random.nextInt(1000) : random.nextInt());
                    }
                }
                client.send(garbage);
            } catch (IOException e) {
                assertThat(e).isNotNull(); // the server may have hung up by now, as it should
            }
        }
    }
}
