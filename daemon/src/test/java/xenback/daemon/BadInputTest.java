package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What {@code ./xenback} says to bad input: one exact line on standard error, the status, and nothing else. */
final class BadInputTest extends Checkout {
    @TempDir
    private Path directory;

    static Stream<Arguments> wrongUsages() {
        return Stream.of(
                wrong("xenback: no command is given; see: xenback --help"),
                wrong("xenback: Unmatched argument at index 0: 'attach'; see: xenback --help", "attach"),
                wrong("xenback: Unknown option: '--frobnicate'; see: xenback --help", "--frobnicate"),
                wrong(
                        "xenback: no --disk and no --vif; write it as --disk disk.img,raw,xvda,w"
                                + " or --vif mac=00:16:3e:00:00:01,ip=10.0.0.2/24",
                        "serve",
                        "--xen=embedded"),
                wrong(
                        "xenback serve: Unknown option: '--frobnicate'; see: xenback serve --help",
                        "serve",
                        "--disk",
                        "good.img,raw,xvda",
                        "--frobnicate"),
                wrong(
                        "xenback serve: Invalid value for option '--xen': 'kvm' is not one of auto, host, embedded;"
                                + " see: xenback serve --help",
                        "serve",
                        "--disk",
                        "good.img,raw,xvda",
                        "--xen",
                        "kvm"),
                wrong(
                        "xenback serve: Invalid value for option '--io': 'x' is not one of auto, uring, threads;"
                                + " see: xenback serve --help",
                        "serve",
                        "--disk",
                        "good.img,raw,xvda",
                        "--io",
                        "x"),
                wrong(
                        "xenback: --disk good.img,qcow2,xvda: unknown disk format 'qcow2'; known: raw"
                                + " (convert others with: qemu-img convert -O raw FROM TO)",
                        "serve",
                        "--disk",
                        "good.img,qcow2,xvda"),
                wrong(
                        "xenback: --disk good.img,raw,sda99: bad vdev 'sda99';"
                                + " write it as xvda, xvda1, sdb, hda1, d0p1, or a number such as 51712",
                        "serve",
                        "--disk",
                        "good.img,raw,sda99"),
                wrong(
                        "xenback: --disk good.img: xvda of domain 1 is taken by another --disk;"
                                + " choose another vdev or guest=N",
                        "serve",
                        "--disk",
                        "good.img,raw,xvda",
                        "--disk",
                        "good.img,raw,0xca00,r"),
                wrong(
                        "xenback: --create 1000: a disk has a multiple of 512 bytes, and not 0",
                        "serve",
                        "--disk",
                        "new.img,raw,xvda",
                        "--create",
                        "1000",
                        "--xen=embedded"),
                wrong(
                        "xenback: size '1GB' is not a number of bytes; write it as 1G, 512M, 100K or 4096",
                        "serve",
                        "--disk",
                        "new.img,raw,xvda",
                        "--create",
                        "1GB",
                        "--xen=embedded"),
                wrong(
                        "xenback: bad address 'localhost'; write it as 10809, 192.0.2.1:10809 or [::1]:10809",
                        "serve",
                        "--disk",
                        "good.img,raw,xvda",
                        "--nbd-tcp",
                        "localhost",
                        "--xen=embedded"));
    }

    @ParameterizedTest
    @MethodSource("wrongUsages")
    void endsWithStatus2OnWrongUsage(String line, String[] arguments) throws Exception {
        image("good.img", 512);

        assertEnd(xenback(directory, arguments), 2, line);
    }

    @Test
    void endsWithStatus1OnAMissingFile() throws Exception {
        assertEnd(
                serve("missing.img"),
                1,
                "xenback: missing.img: no such file; check the path, or make a new image with --create SIZE");
    }

    @Test
    void endsWithStatus1OnADirectory() throws Exception {
        assertEnd(serve("."), 1, "xenback: .: is a directory; name an image file or a block device");
    }

    @Test
    void endsWithStatus1OnAnEmptyFile() throws Exception {
        image("empty.img", 0);

        assertEnd(serve("empty.img"), 1, "xenback: empty.img: is empty; give it a size with: truncate -s 1G FILE");
    }

    @Test
    void endsWithStatus1OnAnOddSize() throws Exception {
        image("odd.img", 1000);

        assertEnd(
                serve("odd.img"),
                1,
                "xenback: odd.img: has 1000 bytes, not a multiple of 512; enlarge it with: truncate -s %512 FILE");
    }

    @Test
    void endsWithStatus1OnAnUnreadableFile() throws Exception {
        mode(image("secret.img", 512), "---------");

        assertEnd(
                serve("secret.img"),
                1,
                "xenback: secret.img: permission to read is missing; change its mode or run as its owner");
    }

    @Test
    void endsWithStatus1OnAReadOnlyFileAskedForWriting() throws Exception {
        mode(image("fixed.img", 512), "r--r--r--");

        assertEnd(
                serve("fixed.img"),
                1,
                "xenback: fixed.img: cannot be written; serve it with access r, or change its mode");
    }

    @Test
    void forgesNoLinesWithTheNameOfAFile() throws Exception {
        assertEnd(
                serve("a\nb\u001b[31m.img"),
                1,
                "xenback: a\\u000ab\\u001b[31m.img: no such file; check the path,"
                        + " or make a new image with --create SIZE");
    }

    @Test
    void showsTheStackTraceOnRequest() throws Exception {
        try (Tool serve = xenback(directory, "serve", "-v", "--xen", "embedded", "--disk", "missing.img,raw,xvda")) {
            Tool.Result result = serve.awaitEnd();

            assertThat(result.status()).isEqualTo(1);
            assertThat(result.err()).contains("xenback.daemon.UserError").contains("    at xenback.daemon");
        }
    }

    private Tool serve(String target) throws IOException {
        return xenbackWithoutPrivileges(directory, "serve", "--xen", "embedded", "--disk", target + ",raw,xvda,w");
    }

    private Path image(String name, int bytes) throws IOException {
        return Files.write(directory.resolve(name), new byte[bytes]);
    }

    private static void mode(Path image, String mode) throws IOException {
        Files.setPosixFilePermissions(image, PosixFilePermissions.fromString(mode));
    }

    private static Arguments wrong(String line, String... arguments) {
        return Arguments.of(line, arguments);
    }

    private static void assertEnd(Tool started, int status, String line) throws InterruptedException {
        try (Tool tool = started) {
            Tool.Result result = tool.awaitEnd();

            assertThat(result.err()).isEqualTo(line + "\n");
            assertThat(result.out()).isEmpty();
            assertThat(result.status()).isEqualTo(status);
        }
    }
}
