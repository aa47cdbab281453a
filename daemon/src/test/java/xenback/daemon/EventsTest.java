package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What {@code serve} tells programs and people while it serves. */
@Timeout(120)
final class EventsTest extends Checkout {
    @TempDir
    private Path directory;

    @Test
    void tellsProgramsEveryEventInOrder() throws Exception {
        Tool.Result result;
        try (RunningServe serve = RunningServe.start(
                directory,
                "--json",
                "--create=1M",
                "--disk=disk.img,raw,xvda,w",
                "--disk=other.img,raw,sda1,r,guest=2")) {
            try (Load _ = new Load(serve.connect(0))) {
                serve.tool().awaitOut(line -> line.matches(".*\"writesPerSecond\":[1-9].*"));
            }
            result = serve.stop();
        }

        List<Map<String, Object>> events =
                result.out().lines().map(StrictJson::object).toList();
        assertThat(events)
                .filteredOn(event -> !event.get("event").equals("status"))
                .extracting(event -> event.get("event") + " " + event.get("interface"))
                .containsExactly(
                        "attached xbdback1i51712",
                        "connected xbdback1i51712",
                        "attached xbdback2i2049",
                        "connected xbdback2i2049",
                        "export xbdback1i51712",
                        "export xbdback2i2049",
                        "detached xbdback2i2049",
                        "detached xbdback1i51712",
                        "stopped null");
        assertThat(events.get(5))
                .containsEntry("name", "xbd1")
                .containsEntry("domid", 2.0)
                .containsEntry("vdev", "sda1")
                .containsEntry("sizeBytes", 1048576.0)
                .containsEntry("readOnly", true)
                .containsEntry("uri", "nbd+unix:///xbd1?socket=" + directory.resolve("run/nbd.sock"));
        List<Map<String, Object>> statuses = events.stream()
                .filter(event -> event.get("event").equals("status"))
                .toList();
        assertThat(statuses).allSatisfy(status -> {
            assertThat(StrictJson.at(status, "disks", 0, "name")).isEqualTo("xbd0");
            assertThat(StrictJson.at(status, "disks", 1, "interface")).isEqualTo("xbdback2i2049");
            double writes = (double) StrictJson.at(status, "disks", 0, "writesPerSecond");
            double bytes = (double) StrictJson.at(status, "disks", 0, "writtenBytesPerSecond");
            // Each was 4096 bytes; writes go on between the looks at the two counters.
            assertThat(bytes).isBetween(writes * 4096 * 0.9, writes * 4096 * 1.1);
            assertThat(StrictJson.at(status, "disks", 1, "writesPerSecond")).isEqualTo(0.0);
        });
    }

    @Test
    void tellsProgramsOfARefusal() throws Exception {
        Path image = Files.write(directory.resolve("disk.img"), new byte[512]);
        try (RunningServe _ = RunningServe.start(directory, "--disk=disk.img,raw,xvda,w")) {
            var command =
                    RunningServe.command(directory.resolve("second"), "--json", "--disk=" + image + ",raw,xvda,w");
            try (Tool second = Tool.start(command, directory, Map.of())) {
                Tool.Result result = second.awaitEnd();

                assertThat(result.status()).isEqualTo(1);
                assertThat(result.out().lines().map(StrictJson::object))
                        .contains(Map.of(
                                "event",
                                "error",
                                "message",
                                image + ": in use by another process; end it first (fuser -v " + image + " names it)"));
            }
        }
    }

    @Test
    void showsPeopleAStatusLineThatChanges() throws Exception {
        Files.write(directory.resolve("disk.img"), new byte[1 << 20]);
        String command = String.join(" ", RunningServe.command(directory.resolve("run"), "--disk=disk.img,raw,xvda,w"));
        // script(1) lends a terminal.
        try (Tool script = Tool.start(
                        List.of("script", "-qec", command, "/dev/null"), directory, Map.of("TERM", "xterm"));
                RunningServe serve = RunningServe.on(script, directory.resolve("run"));
                Load _ = new Load(serve.connect(0))) {
            script.awaitOut(line -> line.matches(
                    ".*\033\\[K.*xbd0 read 0 B/s 0/s write [0-9.]+ [KM]iB/s [1-9][0-9]*/s queue [0-9]+.*"));
            ProcessHandle java = ProcessHandle.of(script.pid()).stream()
                    .flatMap(ProcessHandle::descendants)
                    .filter(process -> process.info().command().orElse("").endsWith("/java"))
                    .findFirst()
                    .orElseThrow();
            java.destroy(); // SIGTERM

            Tool.Result result = script.awaitEnd();

            assertThat(result.status()).isZero();
            assertThat(result.out())
                    .contains("detach device xbdback1i51712 for domain 1")
                    .endsWith("\033[K\n");
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "{",
                "{\"a\":1,}",
                "{\"a\":01}",
                "{'a':1}",
                "[1] x",
                "\"\\x\"",
                "\"a\tb\"",
                "nul",
                "[1,]",
                "{\"a\":1,\"a\":2}"
            })
    void itsCheckerTakesNoOtherText(String text) {
        assertThatThrownBy(() -> StrictJson.parse(text)).isInstanceOf(IllegalArgumentException.class);
    }

    /** Writes of 4096 bytes until it is closed. */
    private static final class Load implements AutoCloseable {
        private final Thread thread;

        Load(NbdClient client) {
            thread = Thread.ofVirtual().start(() -> {
                try (client) {
                    while (!Thread.currentThread().isInterrupted()) {
                        client.write(0, new byte[4096]);
                    }
                } catch (IOException stopped) {
                    // by the interrupt, or by the end of the server
                }
            });
        }

        @Override
        public void close() {
            thread.interrupt(); // closes its connection
        }
    }
}
