package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Clients that vanish or talk nonsense. A well-behaved neighbour, which writes all the time, must not notice. */
@Timeout(120)
final class HostileNeighbourTest extends Checkout {
    private static final long MIB = 1 << 20;
    private static final int ATTACKS = 40;

    @TempDir
    private Path directory;

    private final long seed = Long.getLong("xenback.seed", System.nanoTime());
    private final SplittableRandom random = new SplittableRandom(seed);
    private final NumberedBlocks neighbour =
            new NumberedBlocks(seed, 8 * MIB, 256 * MIB, NumberedBlocks.Durability.FLUSH);
    private RunningServe serve;

    @BeforeEach
    void serve() throws Exception {
        System.out.println("to repeat: ./dev test HostileNeighbourTest -Dxenback.seed=" + seed);
        serve = RunningServe.start(directory, "--create=264M", "--disk=disk.img,raw,xvda,w");
        neighbour.start(serve.connect(0));
        neighbour.awaitAcknowledged(1);
    }

    @AfterEach
    void end() {
        serve.close();
    }

    @Test
    void survivesClientsThatVanishInMidWrite() throws Exception {
        for (int attack = 0; attack < ATTACKS; attack++) {
            try (NbdClient vanishing = serve.connect(0)) {
                for (int whole = random.nextInt(4); whole > 0; whole--) {
                    vanishing.send(0, NbdClient.WRITE, random.nextInt(8) * 65536L, 65536, new byte[65536]);
                }
                vanishing.send(0, NbdClient.WRITE, 0, 1 << 20, new byte[random.nextInt(1 << 20)]);
            }
        }
        assertNobodyNoticed();
    }

    @Test
    void survivesGarbageOnTheNbdSocket() throws Exception {
        for (int attack = 0; attack < ATTACKS; attack++) {
            throwAt(serve.nbdSocket());
            try (NbdClient late = serve.connect(0)) { // well-behaved until it is connected
                late.send(ByteBuffer.allocate(4096).put(garbage()));
            } catch (IOException hungUpOn) {
                // as it should be
            }
        }
        assertNobodyNoticed();
    }

    @Test
    void survivesGarbageOnTheStoresSockets() throws Exception {
        for (int attack = 0; attack < ATTACKS; attack++) {
            throwAt(serve.runDir().resolve("socket"));
            throwAt(serve.runDir().resolve("socket.1"));
        }
        assertNobodyNoticed();
    }

    private void throwAt(Path socket) throws IOException {
        try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            channel.connect(UnixDomainSocketAddress.of(socket));
            channel.write(ByteBuffer.wrap(garbage()));
        } catch (IOException hungUpOn) {
            // as it should be
        }
    }

    private byte[] garbage() {
        byte[] garbage = new byte[random.nextInt(1, 4097)];
        random.nextBytes(garbage);
        return garbage;
    }

    private void assertNobodyNoticed() throws Exception {
        neighbour.awaitAcknowledged(neighbour.acknowledged() + 200);
        assertThat(Tool.need("nbdinfo", "--size", serve.uri(0))).isEqualTo(264 * MIB + "\n");
        Tool.Result state = serve.store(0, "xenstore-read", "/local/domain/0/backend/vbd/1/51712/state");
        assertThat(state.out()).isEqualTo("4\n");

        Tool.Result result = serve.stop();

        assertThat(neighbour.awaitEnd()).isNotInstanceOf(NbdClient.Refused.class);
        assertThat(neighbour.assertIn(directory.resolve("disk.img"))).isGreaterThan(200);
        assertThat(result.err()).doesNotContain("Exception", "internal error");
        assertThat(result.err().lines().count()).as(result.err()).isLessThan(20);
        assertThat(Files.exists(serve.runDir())).isFalse();
    }
}
