package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.EventLoop;

/** Starting where something is already, ending under load, and what is left afterwards. */
@ParameterizedClass
@EnumSource(
        value = EventLoop.Engine.class,
        names = {"URING", "THREADS"})
@Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
final class NbdLifecycleTest {
    @Parameter
    EventLoop.Engine engine;

    private NbdFixture fixture;

    @BeforeEach
    void open() throws IOException {
        fixture = new NbdFixture(engine);
    }

    @AfterEach
    void close() throws IOException {
        fixture.close();
    }

    @Test
    void letsOnlyItsUserConnect() throws IOException {
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(fixture.socket)))
                .isEqualTo("rw-------");
    }

    @Test
    void refusesPathOfLivingServer() throws IOException {
        assertThatExceptionOfType(XenException.class)
                .isThrownBy(() -> NbdServer.start(fixture.socket, exports()))
                .withMessageContaining("another server answers there")
                .satisfies(e -> assertThat(e.errno()).isEqualTo(Errno.EADDRINUSE));
        try (NbdClient client = fixture.connect()) {
            assertThat(client.read(1, 0, 512)).hasSize(512);
        }
    }

    @Test
    void replacesSocketOfDeadServer() throws IOException {
        Path path = fixture.directory.resolve("stale");
        try (ServerSocketChannel dead = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            dead.bind(UnixDomainSocketAddress.of(path));
        }
        assertThat(path).exists();
        try (NbdServer server = NbdServer.start(path, exports());
                NbdClient client = NbdClient.unix(path)) {
            client.greet(true);
            client.go("disk");
            assertThat(server.counters("disk").requests()).isZero();
        }
        assertThat(path).doesNotExist();
    }

    @Test
    void keepsFilesThatAreNoSockets() throws IOException {
        Path path = fixture.directory.resolve("precious");
        Files.writeString(path, "data");
        assertThatExceptionOfType(XenException.class)
                .isThrownBy(() -> NbdServer.start(path, exports()))
                .satisfies(e -> assertThat(e.errno()).isEqualTo(Errno.EEXIST));
        assertThat(path).hasContent("data");
        Files.delete(path);
    }

    @Test
    void refusesNoExportsAndTwoOfOneName() {
        Path path = fixture.directory.resolve("x");
        assertThatIllegalArgumentException().isThrownBy(() -> NbdServer.start(path, List.of()));
        List<NbdExport> twice = List.of(exports().getFirst(), exports().getFirst());
        assertThatIllegalArgumentException().isThrownBy(() -> NbdServer.start(path, twice));
        assertThat(path).doesNotExist();
    }

    @Test
    void finishesRunningRequestsBeforeItEnds() throws IOException {
        try (NbdClient busy = fixture.connect();
                NbdClient idle = fixture.connect();
                NbdClient halfOpen = NbdClient.unix(fixture.socket)) {
            halfOpen.receive(18);
            fixture.disk.holding = true;
            busy.write(0, 1, 0, new byte[4096]);
            NbdFixture.await(() -> fixture.disk.started.get() == 1);
            CompletableFuture<Void> ending = CompletableFuture.runAsync(fixture.server::close);
            idle.assertEnd();
            halfOpen.assertEnd();
            assertThat(ending).isNotDone();
            assertThat(fixture.socket).doesNotExist();
            fixture.disk.release(false);
            assertThat(busy.reply().error()).isZero();
            busy.assertEnd();
            ending.join();
        }
        assertThat(fixture.server.connections()).isZero();
        assertThat(fixture.disk.openQueues).hasValue(0);
    }

    @Test
    void endsWhileClientDoesNotReadItsReplies() throws IOException {
        try (NbdClient client = fixture.connect()) {
            for (int i = 0; i < 8; i++) {
                client.request(0, NbdProtocol.CMD_READ, i, 0, 8 << 20);
            }
            NbdFixture.await(() -> fixture.counters().readBytes() >= 32 << 20);
            fixture.server.close();
            assertThat(fixture.server.connections()).isZero();
        }
    }

    @Test
    void leavesNoDescriptorsBehind() throws IOException {
        long before = descriptors();
        for (int i = 0; i < 5; i++) {
            Path path = fixture.directory.resolve("again");
            try (NbdServer server = NbdServer.start(path, exports());
                    NbdClient client = NbdClient.unix(path)) {
                client.greet(true);
                client.go("disk");
                assertThat(server.connections()).isEqualTo(1);
            }
        }
        assertThat(descriptors()).isEqualTo(before);
    }

    @Test
    void servesTcpWhereAsked() throws IOException {
        try (NbdServer server =
                NbdServer.start(new InetSocketAddress(InetAddress.ofLiteral("127.0.0.1"), 0), exports())) {
            URI uri = server.uri("disk");
            assertThat(uri.getHost()).isEqualTo("127.0.0.1");
            try (NbdClient client =
                    NbdClient.tcp(new InetSocketAddress(InetAddress.ofLiteral("127.0.0.1"), uri.getPort()))) {
                client.greet(true);
                client.structuredReply();
                client.go("disk");
                byte[] payload = new byte[1 << 20];
                payload[12345] = 7;
                client.write(0, 1, 0, payload);
                assertThat(client.reply().error()).isZero();
                assertThat(client.read(2, 0, 1 << 20)).isEqualTo(payload);
                client.disconnect();
            }
        }
    }

    @Test
    void servesExportsOnLoopsOfTheirOwn() throws IOException {
        MemoryDisk other = new MemoryDisk(1 << 20);
        Path path = fixture.directory.resolve("two");
        EventLoop second = EventLoop.start("nbd-second", engine);
        List<NbdExport> both = List.of(exports().getFirst(), new NbdExport("other", "", other, second));
        try (NbdServer server = NbdServer.start(path, both);
                NbdClient one = NbdClient.unix(path);
                NbdClient two = NbdClient.unix(path)) {
            one.greet(true);
            one.structuredReply();
            one.go("disk");
            two.greet(true);
            two.structuredReply();
            assertThat(two.go("other").getLong(0)).isEqualTo(1 << 20);
            assertThat(two.read(1, 0, 512)).hasSize(512); // the disk checks that its loop's thread calls
            assertThat(one.read(1, 0, 512)).hasSize(512);
            assertThat(server.counters("other").requests()).isEqualTo(1);
        }
        second.close();
    }

    private List<NbdExport> exports() {
        return List.of(new NbdExport("disk", "", fixture.disk, fixture.loop));
    }

    private static long descriptors() throws IOException {
        try (Stream<Path> open = Files.list(Path.of("/proc/self/fd"))) {
            return open.count();
        }
    }
}
