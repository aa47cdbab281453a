package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.io.EventLoop;

/** The clients that people use, against the server. A tool that is not installed fails the test by its package's name. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
final class NbdInteropTest {
    @TempDir
    Path directory;

    private NbdFixture fixture;
    private String uri;

    @BeforeEach
    void open() throws IOException {
        fixture = new NbdFixture(EventLoop.Engine.AUTO);
        uri = fixture.server.uri("disk").toString();
    }

    @AfterEach
    void close() throws IOException {
        fixture.close();
    }

    @Test
    void nbdinfoSeesWhatTheDiskCan() throws Exception {
        String json = run("libnbd-bin", "nbdinfo", "--json", uri);
        assertThat(json)
                .contains("\"protocol\": \"newstyle-fixed\"")
                .contains("\"structured\": true")
                .contains("\"export-name\": \"disk\"")
                .contains("\"description\": \"for tests\"")
                .contains("\"export-size\": " + NbdFixture.DISK_BYTES)
                .contains("\"base:allocation\"")
                .contains("\"is_read_only\": false")
                .contains("\"can_cache\": false")
                .contains("\"can_df\": true")
                .contains("\"can_fast_zero\": false")
                .contains("\"can_flush\": true")
                .contains("\"can_fua\": true")
                .contains("\"can_multi_conn\": true")
                .contains("\"can_trim\": true")
                .contains("\"can_zero\": true")
                .contains("\"block_size_minimum\": 512")
                .contains("\"block_size_preferred\": 4096")
                .contains("\"block_size_maximum\": 33554432");
    }

    @Test
    void nbdinfoListsExports() throws Exception {
        assertThat(run("libnbd-bin", "nbdinfo", "--list", uri.replace("/disk?", "/?")))
                .contains("export=\"disk\"");
    }

    @Test
    void nbdinfoMapsExtents() throws Exception {
        run("qemu-utils", "qemu-io", "-f", "raw", "-c", "write 1M 2M", uri);
        assertThat(run("libnbd-bin", "nbdinfo", "--map", uri)
                        .lines()
                        .map(line -> line.replaceAll(" +", " ").strip()))
                .containsExactly("0 1048576 3 hole,zero", "1048576 2097152 0 data", "3145728 63963136 3 hole,zero");
    }

    @Test
    void nbdcopyCopiesBothWays() throws Exception {
        Path source = directory.resolve("source");
        Path back = directory.resolve("back");
        byte[] octets = new byte[NbdFixture.DISK_BYTES];
        new Random(1).nextBytes(octets);
        Files.write(source, octets);
        run("libnbd-bin", "nbdcopy", "--flush", source.toString(), uri);
        assertThat(fixture.disk.contents.toArray(ValueLayout.JAVA_BYTE)).isEqualTo(octets);
        run("libnbd-bin", "nbdcopy", uri, back.toString());
        assertThat(Files.mismatch(source, back)).isEqualTo(-1);
        assertThat(fixture.disk.flushes.get()).isPositive();
        assertThat(fixture.counters().errors()).isZero();
    }

    @Test
    void qemuIoFindsItsPatterns() throws Exception {
        run(
                "qemu-utils",
                "qemu-io",
                "-f",
                "raw",
                "-c",
                "write -P 0xab 0 4k",
                "-c",
                "write -P 0xcd -f 4k 3M",
                "-c",
                "write -z 64k 64k",
                "-c",
                "write -z -u 1M 128k",
                "-c",
                "discard 2M 64k",
                "-c",
                "flush",
                "-c",
                "read -P 0xab 0 4k",
                "-c",
                "read -P 0xcd 128k 512k",
                "-c",
                "read -P 0 64k 64k",
                "-c",
                "read -P 0 1M 128k",
                uri);
        assertThat(fixture.disk.discards.get()).isEqualTo(3);
        assertThat(fixture.counters().errors()).isZero();
    }

    @Test
    void qemuImgComparesWithItsOwnCopy() throws Exception {
        Path image = directory.resolve("image.qcow2");
        run("qemu-utils", "qemu-io", "-f", "raw", "-c", "write -P 0x11 5M 7M", uri);
        run("qemu-utils", "qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, image.toString());
        assertThat(run("qemu-utils", "qemu-img", "compare", "-f", "raw", "-F", "qcow2", uri, image.toString()))
                .contains("Images are identical");
        assertThat(Files.size(image)).isLessThan(16 << 20); // the holes were seen
        assertThat(run("qemu-utils", "qemu-img", "info", uri)).contains("64 MiB");
    }

    @Test
    void fioVerifiesWhatItWrote() throws Exception {
        String report = run(
                "fio",
                "fio",
                "--name=verify",
                "--ioengine=nbd",
                "--uri=" + uri,
                "--rw=randrw",
                "--bsrange=512-256k",
                "--blockalign=512",
                "--iodepth=32",
                "--size=64m",
                "--io_size=96m",
                "--verify=crc32c",
                "--verify_fatal=1",
                "--randseed=7",
                "--aux-path=" + directory);
        assertThat(report).contains("err= 0");
        assertThat(fixture.counters().errors()).isZero();
    }

    @Test
    void toolsConnectOverTcp() throws Exception {
        List<NbdExport> exports = List.of(new NbdExport("gr\u00fcn & blau/1", "", fixture.disk, fixture.loop));
        try (NbdServer tcp = NbdServer.start(new InetSocketAddress(InetAddress.ofLiteral("127.0.0.1"), 0), exports)) {
            String name = tcp.uri("gr\u00fcn & blau/1").toString();
            assertThat(run("libnbd-bin", "nbdinfo", "--size", name).strip())
                    .isEqualTo(Integer.toString(NbdFixture.DISK_BYTES));
            run("qemu-utils", "qemu-io", "-f", "raw", "-c", "write -P 1 0 1M", "-c", "read -P 1 0 1M", name);
        }
    }

    /** Runs a tool to its good end and returns all it said. */
    private String run(String debianPackage, String... command) throws Exception {
        boolean installed = Stream.of(System.getenv("PATH").split(":"))
                .anyMatch(place -> Files.isExecutable(Path.of(place, command[0])));
        if (!installed) {
            fail("%s is not installed: apt-get install %s", command[0], debianPackage);
        }
        Path output = Files.createTempFile(directory, "output", "");
        Process process = new ProcessBuilder(command)
                .directory(directory.toFile())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        try {
            assertThat(process.waitFor(60, TimeUnit.SECONDS))
                    .as("%s ends", String.join(" ", command))
                    .isTrue();
        } finally {
            process.destroyForcibly();
        }
        String said = Files.readString(output);
        assertThat(process.exitValue())
                .as("%s: %s", String.join(" ", command), said)
                .isZero();
        return said;
    }
}
