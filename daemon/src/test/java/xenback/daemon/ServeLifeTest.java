package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Starts, signals and ends of {@code serve}, as processes; {@link ServeForTest} stands for what serves. */
final class ServeLifeTest {
    @TempDir
    private Path directory;

    private Path runDir;
    private Path image;

    @BeforeEach
    void makeImage() throws IOException {
        runDir = directory.resolve("run");
        image = Files.write(directory.resolve("disk.img"), new byte[512]);
    }

    @ParameterizedTest
    @ValueSource(strings = {"TERM", "INT", "HUP"})
    void endsWithSuccessOnASignalAndLeavesNothing(String signal) throws Exception {
        try (Tool serve = serve("", "--run-dir", runDir.toString())) {
            serve.awaitOut(line -> line.contains("test.sock"));
            assertThat(runDir.resolve("test.sock")).exists();
            serve.signal(signal);

            Tool.Result result = serve.awaitEnd();

            assertThat(result.status()).isZero();
            assertThat(result.err()).isEqualTo("draining\ndetach device xbdback1i51712 for domain 1\n");
            assertThat(runDir).doesNotExist();
        }
    }

    @Test
    void tellsProgramsWhatHappensEachSecond() throws Exception {
        try (Tool serve = serve("", "--json", "--run-dir", runDir.toString())) {
            serve.awaitOut(line -> line.equals("{\"event\":\"status\",\"disks\":[{\"name\":\"xbd0\","
                    + "\"interface\":\"xbdback1i51712\",\"readsPerSecond\":0,\"readBytesPerSecond\":0,"
                    + "\"writesPerSecond\":0,\"writtenBytesPerSecond\":0,\"queueDepth\":3}]}"));
            serve.signal("TERM");

            Tool.Result result = serve.awaitEnd();

            assertThat(result.status()).isZero();
            List<String> lines = result.out().lines().toList();
            assertThat(lines.getFirst()).startsWith("{\"event\":\"export\"");
            assertThat(lines)
                    .endsWith(
                            "{\"event\":\"detached\",\"interface\":\"xbdback1i51712\",\"domid\":1}",
                            "{\"event\":\"stopped\"}");
            assertThat(result.err()).isEqualTo("draining\n");
        }
    }

    @Test
    void endsWithFailureIfTheCleanUpFails() throws Exception {
        try (Tool serve = serve("sticks", "--run-dir", runDir.toString())) {
            serve.awaitOut(line -> line.contains("test.sock"));
            serve.signal("TERM");

            Tool.Result result = serve.awaitEnd();

            assertThat(result.status()).isEqualTo(1);
            assertThat(result.err()).endsWith("xenback: the last flush failed\n");
            assertThat(runDir).doesNotExist();
        }
    }

    @Test
    void endsWithFailureWhenServingCannotGoOn() throws Exception {
        try (Tool serve = serve("fails", "--run-dir", runDir.toString())) {
            Tool.Result result = serve.awaitEnd();

            assertThat(result.status()).isEqualTo(1);
            assertThat(result.err())
                    .isEqualTo("draining\ndetach device xbdback1i51712 for domain 1\nxenback: the store went away\n");
            assertThat(runDir).doesNotExist();
        }
    }

    @Test
    void tellsARefusalInOneLineWithoutAStackTrace() throws Exception {
        try (Tool serve = serve("refused", "--run-dir", runDir.toString())) {
            Tool.Result result = serve.awaitEnd();

            assertThat(result.status()).isEqualTo(1);
            assertThat(result.err()).isEqualTo("xenback: the disk is in use\\u000aby others\n");
            assertThat(runDir).doesNotExist();
        }
    }

    @Test
    void tellsAStackTraceOnRequest() throws Exception {
        try (Tool serve = serve("refused", "-v", "--run-dir", runDir.toString())) {
            Tool.Result result = serve.awaitEnd();

            assertThat(result.status()).isEqualTo(1);
            assertThat(result.err())
                    .startsWith("xenback: the disk is in use")
                    .contains("java.io.IOException: the disk is in use")
                    .contains("    at xenback.daemon.ServeForTest.start(");
        }
    }

    @Test
    void tellsABugOfOursAsOne() throws Exception {
        try (Tool serve = serve("broken", "--json", "--run-dir", runDir.toString())) {
            Tool.Result result = serve.awaitEnd();

            assertThat(result.status()).isEqualTo(1);
            assertThat(result.err())
                    .isEqualTo("xenback: internal error: java.lang.IllegalStateException: a bug;"
                            + " run it again with -v and report it\n");
            assertThat(runDir).doesNotExist();
        }
    }

    @Test
    void tellsProgramsOfARefusal() throws Exception {
        try (Tool serve = serve("refused", "--json", "--run-dir", runDir.toString())) {
            assertThat(serve.awaitEnd().out().lines())
                    .containsExactly(
                            "{\"event\":\"stopped\"}",
                            "{\"event\":\"error\",\"message\":\"the disk is in use\\nby others\"}");
        }
    }

    @Test
    void clearsUpAfterAKilledProcessAndLeavesALivingOneAlone() throws Exception {
        Map<String, String> session = Map.of("XDG_RUNTIME_DIR", directory.toString());
        Path base = directory.resolve("xenback");
        try (Tool killed = serve("", session);
                Tool living = serve("", session)) {
            killed.awaitOut(line -> line.contains("test.sock"));
            living.awaitOut(line -> line.contains("test.sock"));
            killed.signal("KILL");
            killed.awaitEnd();
            assertThat(base.resolve(Long.toString(killed.pid()))).exists();

            try (Tool next = serve("", session)) {
                next.awaitOut(line -> line.contains("test.sock"));

                assertThat(base.resolve(Long.toString(killed.pid()))).doesNotExist();
                assertThat(base.resolve(Long.toString(living.pid()))).exists();
                assertThat(base.resolve(Long.toString(next.pid()))).exists();
            }
        }
    }

    @Test
    void endsOnASignalWhileItsStartHangs() throws Exception {
        try (Tool serve = serve("hangs", "--run-dir", runDir.toString())) {
            serve.awaitErr(line -> line.equals("starting"));
            serve.signal("TERM");

            Tool.Result result = serve.awaitEnd();

            assertThat(result.status()).isZero();
            assertThat(result.err()).isEqualTo("starting\n");
            assertThat(runDir).doesNotExist();
        }
    }

    private Tool serve(String behaviour, String... options) throws IOException {
        return serve(behaviour, Map.of(), options);
    }

    private Tool serve(String behaviour, Map<String, String> environment, String... options) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx64m",
                "-XX:+UseSerialGC",
                "-Dserving=" + behaviour,
                "-cp",
                System.getProperty("java.class.path"),
                ServeForTest.class.getName(),
                "serve",
                "--xen",
                "embedded",
                "--disk",
                image + ",raw,xvda"));
        command.addAll(List.of(options));
        return Tool.start(command, directory, environment);
    }
}
