package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Commands that ask a running {@code serve}, and the socket that it answers on. */
@Timeout(120)
final class ControlTest extends Checkout {
    private static final String DISK = "--disk=null:1M,raw,xvda,w";

    @TempDir
    private Path directory;

    @Test
    void findsTheOneThatRuns() throws Exception {
        Path base = directory.resolve("base");
        Files.createDirectories(base);
        assertThat(ask(base, "list").err())
                .isEqualTo("xenback: no running xenback below " + base + "/xenback; name one with --run-dir DIR\n");
        try (RunningServe one = RunningServe.startBelow(base, directory, DISK)) {
            assertThat(ask(base, "list").out()).contains("xbdback1i51712");
            try (RunningServe two = RunningServe.startBelow(base, directory, DISK)) {
                Tool.Result result = ask(base, "list");
                assertThat(result.status()).isEqualTo(1);
                assertThat(result.err())
                        .startsWith("xenback: several are running, name one: --run-dir ")
                        .contains(one.runDir().toString())
                        .contains(two.runDir().toString());
                assertThat(ask(base, "list", "--run-dir=" + two.runDir()).out()).contains("xbdback1i51712");
                two.kill(); // its socket stays, and nobody answers
            }
            assertThat(ask(base, "list").out()).contains("xbdback1i51712");
        }
    }

    @Test
    void showsNamesAndValuesInEveryForm() throws Exception {
        try (RunningServe serve = RunningServe.start(directory, DISK)) {
            List<String> names = sysctl("-a", "-N").lines().toList();
            assertThat(names).contains("dev.xbdback.0.dump_rings", "dev.xbdback.0.reads");
            assertThat(sysctl("dev.xbdback.0.size")).isEqualTo("dev.xbdback.0.size: 1048576\n");
            assertThat(sysctl("-n", "dev.xbdback.0.vdev")).isEqualTo("xvda\n");
            assertThat(sysctl("dev.xbdback.0", "-N")).isEqualTo(String.join("\n", names) + "\n");
            for (String line : sysctl("-a", "--json").lines().toList()) {
                assertThat(StrictJson.parse(line)).isInstanceOf(Map.class);
            }
            Tool.Result nothing = ask(directory, "sysctl", "--run-dir=" + serve.runDir());
            assertThat(nothing.status()).isEqualTo(2);
            assertThat(nothing.err())
                    .isEqualTo(
                            "xenback: no name; write it as: xenback sysctl dev.xnb.0.dump_rings, or -a for everything\n");
        }
    }

    @Test
    void bearsClientsThatDoNotKeepToTheProtocol() throws Exception {
        try (RunningServe serve = RunningServe.start(directory, DISK)) {
            Path socket = serve.runDir().resolve("control.sock");
            assertThat(talk(socket, "frobnicate\n"))
                    .isEqualTo("2 unknown request; is it another version that serves?\n");
            assertThat(talk(socket, "\n")).startsWith("2 unknown request");
            assertThat(talk(socket, "capture\n")).isEqualTo("2 capture takes 1 to 64 interfaces\n");
            assertThat(talk(socket, "list\tno end")).isEmpty();
            assertThat(talk(socket, "x".repeat(9000))).isEmpty();
            List<SocketChannel> silent = new ArrayList<>();
            try {
                for (int i = 0; i < 40; i++) {
                    silent.add(SocketChannel.open(UnixDomainSocketAddress.of(socket)));
                }
                assertThat(sysctl("-n", "dev.xbdback.0.domid")).isEqualTo("1\n");
                assertThat(serve.stop().err()).doesNotContain("Exception");
            } finally {
                for (SocketChannel each : silent) {
                    each.close();
                }
            }
        }
    }

    private String sysctl(String... words) throws Exception {
        List<String> all = new ArrayList<>(List.of("sysctl", "--run-dir=" + directory.resolve("run")));
        all.addAll(List.of(words));
        Tool.Result result = ask(directory, all.toArray(String[]::new));
        assertThat(result.status()).as(result.err()).isZero();
        return result.out();
    }

    /** Runs a command to its end, with {@code base} for $XDG_RUNTIME_DIR. */
    private Tool.Result ask(Path base, String... words) throws Exception {
        List<String> command = new ArrayList<>(List.of(root().resolve("xenback").toString()));
        command.addAll(List.of(words));
        try (Tool tool = Tool.start(command, directory, Map.of("XDG_RUNTIME_DIR", base.toString()))) {
            return tool.awaitEnd();
        }
    }

    /** What is answered to a client that says this and then nothing more; empty if it is cut off. */
    private static String talk(Path socket, String text) throws IOException {
        try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
            ByteBuffer request = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
            ByteBuffer answer = ByteBuffer.allocate(1000);
            try {
                while (request.hasRemaining()) {
                    channel.write(request);
                }
                channel.shutdownOutput();
                int bytes = 0;
                while (bytes >= 0) {
                    bytes = channel.read(answer);
                }
            } catch (IOException cutOff) {
                // The server has closed before it had read all.
            }
            return new String(answer.array(), 0, answer.position(), StandardCharsets.UTF_8);
        }
    }
}
