package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Stores and sockets that somebody else uses: told in one line, with the error number where xbdback(4) has it. */
@Timeout(120)
final class BusyTest extends Checkout {
    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void makeImage() throws IOException {
        image = Files.write(directory.resolve("disk.img"), new byte[1 << 20]);
    }

    @Test
    void refusesAnImageThatAnotherServeHas() throws Exception {
        try (RunningServe first = RunningServe.start(directory, "--disk=disk.img,raw,xvda,w")) {
            assertRefused(
                    image,
                    device("dev", image),
                    image + ": in use by another process; end it first (fuser -v " + image + " names it)");
            Tool.need("qemu-io", "-f", "raw", "-c", "write -P 1 0 1M", "-c", "read -P 1 0 1M", first.uri(0));
        }
    }

    @Test
    void refusesAnImageThatQemuHas() throws Exception {
        Path socket = directory.resolve("qemu.sock");
        try (Tool _ = Tool.start("qemu-nbd", "-f", "raw", "-t", "-k", socket.toString(), image.toString())) {
            Tool.awaitTrue(
                    "qemu-nbd serves",
                    () -> Tool.run("nbdinfo", "--size", "nbd+unix:///?socket=" + socket)
                                    .status()
                            == 0);
            assertRefused(
                    image,
                    device("dev", image),
                    image + ": in use by another process; end it first (fuser -v " + image + " names it)");
        }
    }

    @Test
    void letsNobodyElseHaveItsImage() throws Exception {
        try (RunningServe _ = RunningServe.start(directory, "--disk=disk.img,raw,xvda,w")) {
            Tool.Result other = Tool.run("qemu-io", "-f", "raw", "-c", "write 0 512", image.toString());
            assertThat(other.status()).isEqualTo(1);
            assertThat(other.err()).contains("Failed to lock byte");
        }
    }

    @Test
    void letsReadersShareAnImage() throws Exception {
        Path other = Files.createDirectory(directory.resolve("other"));
        try (RunningServe first = RunningServe.start(directory, "--disk=disk.img,raw,xvda,r");
                RunningServe second = RunningServe.start(other, "--disk=" + image + ",raw,xvda,r")) {
            Tool.need("qemu-img", "compare", "-f", "raw", "-F", "raw", first.uri(0), second.uri(0));
        }
    }

    @Test
    void refusesAMountedDevice() throws Exception {
        Files.write(image, new byte[8 << 20]);
        Tool.need("mkfs.ext4", "-q", "-F", image.toString());
        Path mountPoint = Files.createDirectory(directory.resolve("mnt"));
        try (LoopDevice loop = LoopDevice.over(image);
                Mounted mounted = Mounted.device(loop.path(), mountPoint)) {
            Path device = Path.of(loop.path());
            assertRefused(
                    device, device("rdev", device), device + ": the device is mounted or in use; release it first");
            assertRefused(
                    image,
                    device("dev", image),
                    image + ": in use as " + loop.path() + "; detach it (losetup -d " + loop.path() + ")");
            assertThat(mounted.path().resolve("lost+found")).exists();
        }
    }

    @Test
    void keepsADeviceThatItServesFromBeingMounted() throws Exception {
        Files.write(image, new byte[8 << 20]);
        Tool.need("mkfs.ext4", "-q", "-F", image.toString());
        try (LoopDevice loop = LoopDevice.over(image);
                RunningServe _ = RunningServe.start(directory, "--disk=" + loop.path() + ",raw,xvda,w")) {
            Tool.Result mount = Tool.run("mount", loop.path(), Files.createDirectory(directory.resolve("mnt")) + "");
            assertThat(mount.status()).isNotZero();
            assertThat(mount.err()).contains("busy");
        }
    }

    @Test
    void showsWhereItFailedOnRequest() throws Exception {
        try (RunningServe _ = RunningServe.start(directory, "--disk=disk.img,raw,xvda,w");
                Tool second = second(image, "-v")) {
            assertThat(second.awaitEnd().err())
                    .contains("\nxenback.xen.XenException: " + image + ": in use by another process")
                    .containsPattern("\n    at xenback\\.block\\S*/xenback\\.block\\.disk\\.FileDisk\\.open\\(");
        }
    }

    @Test
    void refusesTheSocketOfALivingServer() throws Exception {
        Path socket = directory.resolve("nbd.sock");
        Path other = Files.write(directory.resolve("other.img"), new byte[512]);
        try (RunningServe first =
                        RunningServe.start(directory, "--disk=disk.img,raw,xvda,w", "--nbd-socket=" + socket);
                Tool second = second(other, "--nbd-socket=" + socket)) {
            assertOneLine(
                    second,
                    "xenback: --nbd-socket " + socket
                            + ": another server answers there; stop it or choose another path");
            assertThat(Tool.need("nbdinfo", "--size", "nbd+unix:///xbd0?socket=" + socket))
                    .isEqualTo("1048576\n");
            first.stop();
            assertThat(socket).doesNotExist();
        }
    }

    @Test
    void refusesATcpPortThatIsTaken() throws Exception {
        try (var other = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                Tool serve = second(image, "--nbd-tcp=127.0.0.1:" + other.getLocalPort())) {
            assertThat(serve.awaitEnd()
                            .err()
                            .lines()
                            .filter(line -> !line.contains("device"))
                            .map(line -> line.replaceAll("disconnected: .*", "disconnected")))
                    .containsExactly(
                            "XENSTORED_PATH=" + directory.resolve("second/socket"),
                            "xbd backend 0xca00 for domain 1 using event channel 1, protocol x86_64-abi",
                            "xbd backend 0xca00 for domain 1 disconnected",
                            "xenback: 127.0.0.1:" + other.getLocalPort()
                                    + ": another program listens there; choose another port");
            assertThat(serve.awaitEnd().status()).isEqualTo(1);
        }
    }

    @Test
    void replacesTheSocketOfADeadServer() throws Exception {
        Path socket = directory.resolve("nbd.sock");
        try (RunningServe first =
                RunningServe.start(directory, "--disk=disk.img,raw,xvda,w", "--nbd-socket=" + socket)) {
            first.kill();
        }
        assertThat(socket).exists();
        try (RunningServe next =
                RunningServe.start(directory, "--disk=disk.img,raw,xvda,w", "--nbd-socket=" + socket)) {
            assertThat(Tool.need("nbdinfo", "--size", "nbd+unix:///xbd0?socket=" + socket))
                    .isEqualTo("1048576\n");
            next.stop();
            assertThat(socket).doesNotExist();
        }
    }

    @Test
    void keepsAFileThatIsNoSocket() throws Exception {
        Path file = Files.writeString(directory.resolve("letter"), "dear");
        try (Tool serve = second(image, "--nbd-socket=" + file)) {
            assertOneLine(serve, "xenback: --nbd-socket " + file + ": exists and is no socket; choose another path");
        }
        assertThat(file).hasContent("dear");
    }

    @Test
    void refusesASocketPathThatIsTooLong() throws Exception {
        Path socket = directory.resolve("x".repeat(100));
        try (Tool serve = second(image, "--nbd-socket=" + socket)) {
            assertOneLine(
                    serve,
                    "xenback: " + socket + ": a socket's path has at most 107 bytes, this one has "
                            + socket.toString().length() + "; choose a shorter one with --nbd-socket or --run-dir");
        }
    }

    /** Starts a serve beside another one. */
    private Tool second(Path target, String... options) throws IOException {
        var command = RunningServe.command(directory.resolve("second"), options);
        command.add("--disk=" + target + ",raw,xvda,w");
        return Tool.start(command, directory, Map.of());
    }

    private void assertRefused(Path target, long device, String why) throws Exception {
        try (Tool serve = second(target)) {
            Tool.Result result = serve.awaitEnd();
            assertThat(result.err())
                    .isEqualTo("XENSTORED_PATH=" + directory.resolve("second/socket") + "\n"
                            + "xbdback backend/vbd/1/51712: can't VOP_OPEN device 0x" + Long.toHexString(device)
                            + ": 16\n"
                            + "xenback: " + why + "\n");
            assertThat(result.out()).isEmpty();
            assertThat(result.status()).isEqualTo(1);
            assertThat(directory.resolve("second")).doesNotExist();
        }
    }

    private static void assertOneLine(Tool serve, String line) throws InterruptedException {
        Tool.Result result = serve.awaitEnd();
        assertThat(result.err()).isEqualTo(line + "\n");
        assertThat(result.out()).isEmpty();
        assertThat(result.status()).isEqualTo(1);
    }

    private static long device(String attribute, Path path) throws IOException {
        return ((Number) Files.getAttribute(path, "unix:" + attribute)).longValue();
    }
}
