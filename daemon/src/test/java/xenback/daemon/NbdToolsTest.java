package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The tools that people have, on a guest's disk: image, xbdback, ring, xbd, NBD and back. */
@Timeout(120)
final class NbdToolsTest extends Checkout {
    private static final int MIB = 1 << 20;

    @TempDir
    private Path directory;

    @Test
    void tellsNbdinfoWhatTheGuestHas() throws Exception {
        try (RunningServe serve = serve("disk.img,raw,xvda,w", "--create=24M")) {
            assertThat(Tool.need("nbdinfo", serve.uri(0)))
                    .startsWith("protocol: newstyle-fixed without TLS, using structured packets\nexport=\"xbd0\":\n")
                    .contains("\tdescription: xvda of domain 1, xbdback1i51712\n")
                    .contains("\texport-size: 25165824 (24M)\n")
                    .contains("\turi: " + serve.uri(0) + "\n")
                    .contains("\tcontexts:\n\t\tbase:allocation\n")
                    .contains("\tis_read_only: false\n", "\tcan_flush: true\n", "\tcan_fua: true\n")
                    .contains("\tcan_trim: true\n", "\tcan_zero: true\n", "\tcan_multi_conn: true\n")
                    .contains("\tblock_size_minimum: 512\n");
        }
    }

    @Test
    void tellsProgramsTheSame() throws Exception {
        try (RunningServe serve = serve("disk.img,raw,hda1,r", "--create=24M")) {
            Object info = StrictJson.parse(Tool.need("nbdinfo", "--json", serve.uri(0)));

            assertThat(StrictJson.at(info, "protocol")).isEqualTo("newstyle-fixed");
            assertThat(StrictJson.at(info, "structured")).isEqualTo(true);
            Map<?, ?> export = (Map<?, ?>) StrictJson.at(info, "exports", 0);
            assertThat(export.get("export-name")).isEqualTo("xbd0");
            assertThat(export.get("description")).isEqualTo("hda1 of domain 1, xbdback1i769");
            assertThat(export.get("export-size")).isEqualTo(24.0 * MIB);
            assertThat(export.get("is_read_only")).isEqualTo(true);
            assertThat(export.get("can_trim")).isEqualTo(false);
            assertThat(export.get("contexts")).isEqualTo(List.of("base:allocation"));
        }
    }

    @Test
    void showsTheHolesOfASparseImageAndKeepsThemInACopy() throws Exception {
        Path copy = directory.resolve("copy.img");
        Path image = sparse("disk.img");
        try (RunningServe serve = serve("disk.img,raw,xvda,w")) {
            assertThat(StrictJson.parse(Tool.need("nbdinfo", "--map", "--json", serve.uri(0))))
                    .isEqualTo(List.of(
                            extent(0, 4L * MIB, 3, "hole,zero"),
                            extent(4L * MIB, 2L * MIB, 0, "data"),
                            extent(6L * MIB, 18L * MIB, 3, "hole,zero")));
            Tool.need("nbdcopy", serve.uri(0), copy.toString());
        }
        assertThat(Files.mismatch(image, copy)).isEqualTo(-1);
        assertThat(allocatedBytes(copy)).isEqualTo(2L * MIB);
    }

    @Test
    void copiesEveryByteBothWays() throws Exception {
        Path source = randomFile("source.bin", 24 * MIB);
        Path back = directory.resolve("back.bin");
        try (RunningServe serve = serve("disk.img,raw,xvda,w", "--create=24M")) {
            Tool.need("nbdcopy", "--flush", source.toString(), serve.uri(0));
            assertThat(Files.mismatch(source, directory.resolve("disk.img"))).isEqualTo(-1);
            Tool.need("nbdcopy", serve.uri(0), back.toString());
        }
        assertThat(Files.mismatch(source, back)).isEqualTo(-1);
    }

    @Test
    void convertsAndComparesWithQemuImg() throws Exception {
        Path source = sparse("source.img");
        String qcow = directory.resolve("source.qcow2").toString();
        String back = directory.resolve("back.qcow2").toString();
        Tool.need("qemu-img", "convert", "-f", "raw", "-O", "qcow2", source.toString(), qcow);
        Path image = randomFile("disk.img", 24 * MIB); // what was there before must go
        try (RunningServe serve = serve("disk.img,raw,xvda,w")) {
            Tool.need("qemu-img", "convert", "-n", "-f", "qcow2", "-O", "raw", qcow, serve.uri(0));
            assertThat(Tool.need("qemu-img", "compare", "-f", "qcow2", "-F", "raw", qcow, serve.uri(0)))
                    .isEqualTo("Images are identical.\n");
            Tool.need("qemu-img", "convert", "-f", "raw", "-O", "qcow2", serve.uri(0), back);
            assertThat(Tool.run("qemu-io", "-f", "raw", "-c", "write -P 9 5M 512", serve.uri(0))
                            .status())
                    .isZero();
            assertThat(Tool.run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", qcow, serve.uri(0))
                            .out())
                    .isEqualTo("Content mismatch at offset 5242880!\n");
        }
        Tool.need("qemu-img", "compare", "-f", "raw", "-F", "qcow2", source.toString(), back);
        assertThat(Files.mismatch(source, image)).isEqualTo(5L * MIB);
    }

    @ParameterizedTest
    @ValueSource(strings = {"uring", "threads"})
    void keepsThePatternsOfQemuIo(String engine) throws Exception {
        try (RunningServe serve = serve("disk.img,raw,xvda,w", "--create=24M", "--io=" + engine)) {
            // Odd sectors, more than a request of 11 pages, the first and the last sector, one over the other.
            Tool.Result io = Tool.run(
                    "qemu-io",
                    "-f",
                    "raw",
                    "-c",
                    "write -P 0x11 0 512",
                    "-c",
                    "write -P 0x22 3584 1M",
                    "-c",
                    "write -P 0x33 25165312 512",
                    "-c",
                    "write -f -P 0x44 512k 67072",
                    "-c",
                    "flush",
                    "-c",
                    "read -P 0x11 0 512",
                    "-c",
                    "read -P 0 512 3072",
                    "-c",
                    "read -P 0x22 3584 520704",
                    "-c",
                    "read -P 0x44 512k 67072",
                    "-c",
                    "read -P 0x22 591360 460800",
                    "-c",
                    "read -P 0x33 25165312 512",
                    "-c",
                    "read -P 0 2M 21M",
                    serve.uri(0));

            assertThat(io.status()).isZero();
            assertThat(io.out()).doesNotContain("verification failed");
            Tool.Result wrong = Tool.run("qemu-io", "-f", "raw", "-c", "read -P 0x45 512k 67072", serve.uri(0));
            assertThat(wrong.out()).contains("Pattern verification failed");
            serve.stop();
        }
        try (var image = new RandomAccessFile(directory.resolve("disk.img").toFile(), "r")) {
            image.seek(24L * MIB - 512);
            assertThat(image.read()).isEqualTo(0x33);
            image.seek(512 << 10);
            assertThat(image.read()).isEqualTo(0x44);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"--io=uring", "--io=threads", "cache=direct"})
    void keepsWhatFioWritesAndVerifies(String way) throws Exception {
        boolean direct = way.startsWith("cache");
        Path report = directory.resolve("fio.json");
        try (RunningServe serve = direct
                ? serve("disk.img,raw,xvda,w," + way, "--create=24M")
                : serve("disk.img,raw,xvda,w", "--create=24M", way)) {
            assertThat(opensPastThePageCache(serve, directory.resolve("disk.img")))
                    .isEqualTo(direct);
            Tool.need(
                    "fio",
                    "--name=verify",
                    "--ioengine=nbd",
                    "--uri=" + serve.uri(0),
                    "--rw=randwrite",
                    "--bssplit=512/10:4k/60:44k/20:128k/10",
                    "--iodepth=32",
                    "--size=16m",
                    "--verify=crc32c",
                    "--verify_fatal=1",
                    "--verify_state_save=0", // no file where the tests run
                    "--do_verify=1",
                    "--output-format=json",
                    "--output=" + report);
        }
        Object job = StrictJson.at(StrictJson.parse(Files.readString(report)), "jobs", 0);
        assertThat(StrictJson.at(job, "error")).isEqualTo(0.0);
        assertThat(StrictJson.at(job, "write", "io_bytes")).isEqualTo(16.0 * MIB);
        assertThat(StrictJson.at(job, "read", "io_bytes")).isEqualTo(16.0 * MIB);
    }

    private RunningServe serve(String disk, String... options) throws IOException, InterruptedException {
        String[] all = new String[options.length + 1];
        all[0] = "--disk=" + disk;
        System.arraycopy(options, 0, all, 1, options.length);
        return RunningServe.start(directory, all);
    }

    /** 24 MiB with data from 4 to 6 MiB. */
    private Path sparse(String name) throws IOException {
        Path image = directory.resolve(name);
        byte[] data = new byte[2 * MIB];
        new Random(4).nextBytes(data);
        try (var file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(24L * MIB);
            file.seek(4L * MIB);
            file.write(data);
        }
        return image;
    }

    private Path randomFile(String name, int bytes) throws IOException {
        byte[] octets = new byte[bytes];
        new Random(5).nextBytes(octets);
        return Files.write(directory.resolve(name), octets);
    }

    private static Map<String, Object> extent(double offset, double length, double type, String description) {
        return Map.of("offset", offset, "length", length, "type", type, "description", description);
    }

    private static long allocatedBytes(Path file) throws Exception {
        return 512
                * Long.parseLong(Tool.need("stat", "-c", "%b", file.toString()).strip());
    }

    /** True if the process has the image open with O_DIRECT (octal 40000, on arm64 200000). */
    private static boolean opensPastThePageCache(RunningServe serve, Path image) throws IOException {
        int direct = System.getProperty("os.arch").equals("aarch64") ? 0200000 : 040000;
        Path process = Path.of("/proc", Long.toString(serve.tool().pid()));
        try (var descriptors = Files.newDirectoryStream(process.resolve("fd"))) {
            for (Path descriptor : descriptors) {
                if (Files.exists(descriptor) && Files.isSameFile(descriptor, image)) {
                    String flags = Files.readAllLines(process.resolve("fdinfo").resolve(descriptor.getFileName()))
                            .get(1);
                    if ((Integer.parseInt(flags.substring("flags:".length()).strip(), 8) & direct) != 0) {
                        return true;
                    }
                }
            }
        }
        return false;
    }
}
