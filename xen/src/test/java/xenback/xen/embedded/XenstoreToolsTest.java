package xenback.xen.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.store.StoreClient;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;

/** Xen's own tools, unchanged, on the embedded store: as domain 0 and as a guest. */
@Timeout(60)
class XenstoreToolsTest {
    @TempDir
    private Path dir;

    private Xenstored store;

    /** What a tool printed and how it ended. */
    private record Ran(int status, String output) {}

    @BeforeEach
    void start() throws IOException {
        store = Xenstored.start(dir.resolve("run"));
    }

    @AfterEach
    void close() {
        store.close();
    }

    private static ProcessBuilder tool(Path socket, String name, String... arguments) {
        Path program = List.of("/usr/bin", "/usr/sbin", "/bin", "/sbin").stream()
                .map(directory -> Path.of(directory, name))
                .filter(Files::isExecutable)
                .findFirst()
                .orElseThrow(() -> new AssertionError(name + " is missing: apt-get install xenstore-utils"));
        List<String> command = new ArrayList<>();
        command.add(program.toString());
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("XENSTORED_PATH", socket.toString());
        return builder;
    }

    private static Ran run(Path socket, String name, String... arguments) throws Exception {
        Process process = tool(socket, name, arguments).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1);
        return new Ran(process.waitFor(), output);
    }

    private String dom0(String name, String... arguments) throws Exception {
        Ran ran = run(store.socket(), name, arguments);
        assertThat(ran.status)
                .as("%s %s: %s", name, List.of(arguments), ran.output)
                .isZero();
        return ran.output;
    }

    @Test
    void writesReadsListsAndRemoves() throws Exception {
        dom0("xenstore-write", "/t/a", "one", "/t/b", "two words");
        assertThat(dom0("xenstore-read", "/t/a", "/t/b")).isEqualTo("one\ntwo words\n");
        assertThat(dom0("xenstore-read", "-p", "/t/a")).isEqualTo("/t/a: one\n");
        assertThat(dom0("xenstore-list", "/t")).isEqualTo("a\nb\n");
        assertThat(dom0("xenstore-list", "-p", "/t")).isEqualTo("/t/a\n/t/b\n");
        dom0("xenstore-exists", "/t/a");
        dom0("xenstore-rm", "/t/a");

        assertThat(run(store.socket(), "xenstore-exists", "/t/a").status).isNotZero();
        assertThat(run(store.socket(), "xenstore-read", "/t/a").output).contains("couldn't read path /t/a");
    }

    @Test
    void takesTheOptionsForSocketRawAndTidy() throws Exception {
        dom0("xenstore-write", "-s", "/deep/er/leaf", "x");
        assertThat(dom0("xenstore-read", "-s", "/deep/er/leaf")).isEqualTo("x\n");
        dom0("xenstore-write", "/escaped", "\\x01b");
        assertThat(dom0("xenstore-read", "-R", "/escaped")).startsWith("\u0001b");
        dom0("xenstore-write", "-R", "/raw", "\\x01b");
        assertThat(dom0("xenstore-read", "-R", "/raw")).startsWith("\\x01b");
        dom0("xenstore-rm", "-t", "/deep/er/leaf");

        assertThat(run(store.socket(), "xenstore-exists", "/deep").status).isNotZero();
    }

    @Test
    void listsTheWholeTreeWithPermissions() throws Exception {
        dom0("xenstore-write", "/local/domain/3/name", "guest");
        dom0("xenstore-chmod", "/local/domain/3", "n3", "r0");

        assertThat(dom0("xenstore-ls", "-fp").lines().map(line -> line.replaceAll(" +", " ")))
                .contains(
                        "/tool/xenstored = \"\" (n0)",
                        "/local/domain/0 = \"\" (n0)",
                        "/local/domain/3 = \"\" (n3,r0)",
                        "/local/domain/3/name = \"guest\" (n0)");
        assertThat(dom0("xenstore-ls", "-s", "/local/domain/3")).isEqualTo("name = \"guest\"\n");
    }

    @Test
    void listsADirectoryThatNeedsSeveralParts() throws Exception {
        try (StoreClient client = StoreClient.connect(store.socket())) {
            for (int i = 0; i < 1000; i++) {
                client.write(StorePath.of("/many/node-number-" + i), "");
            }
        }

        assertThat(dom0("xenstore-list", "/many").lines()).hasSize(1000).doesNotHaveDuplicates();
    }

    @Test
    void changesPermissionsUpAndDownTheTree() throws Exception {
        dom0("xenstore-write", "/p/q/r", "");
        dom0("xenstore-chmod", "-r", "/p/q", "b0", "r5");
        dom0("xenstore-chmod", "-u", "/p/q/r", "n0", "r7");
        try (StoreClient client = StoreClient.connect(store.socket())) {
            assertThat(client.permissions(StorePath.of("/p/q/r")))
                    .containsExactly(StorePermission.parse("n0"), StorePermission.parse("r7"));
            assertThat(client.permissions(StorePath.of("/p")))
                    .containsExactly(StorePermission.parse("n0"), StorePermission.parse("r7"));
        }
    }

    @Test
    void watches() throws Exception {
        Process watch = tool(store.socket(), "xenstore-watch", "-n", "3", "/w").start();
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(watch.getInputStream(), StandardCharsets.ISO_8859_1))) {
            assertThat(lines.readLine()).isEqualTo("/w");
            dom0("xenstore-write", "/w/a", "1");
            assertThat(lines.readLine()).isEqualTo("/w/a");
            dom0("xenstore-rm", "/w");
            assertThat(lines.readLine()).isEqualTo("/w");
            assertThat(watch.waitFor(20, TimeUnit.SECONDS)).isTrue();
            assertThat(watch.exitValue()).isZero();
        } finally {
            watch.destroyForcibly();
        }
    }

    @Test
    void servesAGuestWithItsOwnRights() throws Exception {
        store.introduce(3);
        Path guest = store.socket(3);
        dom0("xenstore-write", "/local/domain/3", "", "/secret", "s");
        dom0("xenstore-chmod", "/local/domain/3", "n3");

        assertThat(run(guest, "xenstore-write", "device/x", "mine").status).isZero();
        assertThat(run(guest, "xenstore-read", "device/x")).isEqualTo(new Ran(0, "mine\n"));
        assertThat(run(guest, "xenstore-ls", "-fp", "/local/domain/3").output)
                .contains("/local/domain/3/device/x = \"mine\"")
                .contains("(n3)");
        assertThat(run(guest, "xenstore-read", "/secret").status).isNotZero();
        assertThat(run(guest, "xenstore-write", "/secret", "x").status).isNotZero();
        assertThat(dom0("xenstore-read", "/local/domain/3/device/x")).isEqualTo("mine\n");
    }
}
