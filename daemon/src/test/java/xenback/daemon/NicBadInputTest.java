package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What {@code ./xenback} says to interfaces that cannot be: one line, and the status. */
@Timeout(180)
final class NicBadInputTest extends Checkout {
    @TempDir
    private Path directory;

    static Stream<Arguments> wrongUsages() {
        return Stream.of(
                wrong(
                        "xenback: --vif mac=01:00:5e:00:00:01: bad mac '01:00:5e:00:00:01': it is a multicast address;"
                                + " an interface has an address of its own, such as 00:16:3e:00:00:01",
                        "--vif=mac=01:00:5e:00:00:01"),
                wrong(
                        "xenback: --vif mac=00:00:00:00:00:00: bad mac '00:00:00:00:00:00': it is zero;"
                                + " an interface has an address of its own, such as 00:16:3e:00:00:01",
                        "--vif=mac=00:00:00:00:00:00"),
                wrong("xenback: --vif mtu=67: bad mtu '67'; it is a number from 68 to 65521", "--vif=mtu=67"),
                wrong("xenback: --vif mtu=65522: bad mtu '65522'; it is a number from 68 to 65521", "--vif=mtu=65522"),
                wrong(
                        "xenback: --vif rate=fast: bad rate 'fast';"
                                + " write it as 10Mb/s, 250KB/s or 1MB/s@20ms, and not 0",
                        "--vif=rate=fast"),
                wrong(
                        "xenback: --antispoof is for a host; on the embedded Xen each interface says it for itself,"
                                + " as in --vif ip=10.0.0.2/24,antispoof=on",
                        "--vif=ip=10.0.0.2/24",
                        "--antispoof"),
                wrong(
                        "xenback: --guest-netns is for interfaces; write them as --vif mac=00:16:3e:00:00:01",
                        "--guest-netns=a",
                        "--disk=null:1M,raw,xvda"));
    }

    @ParameterizedTest
    @MethodSource("wrongUsages")
    void endsWithStatus2OnWrongUsage(String line, String[] options) throws Exception {
        try (Tool serve = xenback(directory, serve(options))) {
            assertEnd(serve.awaitEnd(), 2, line);
        }
    }

    @Test
    void namesABridgeThatIsNotThere() throws Exception {
        try (Tool serve = xenback(directory, serve("--vif=bridge=no-such-br"))) {
            assertEnd(
                    serve.awaitEnd(),
                    1,
                    "xenback: no bridge 'no-such-br'; make it with: ip link add no-such-br type bridge");
        }
    }

    @Test
    void namesANamespaceThatIsNotThere() throws Exception {
        try (Tool serve = xenback(directory, serve("--vif=mtu=1500", "--guest-netns=no-such-ns"))) {
            assertEnd(
                    serve.awaitEnd(),
                    1,
                    "xenback: no network namespace 'no-such-ns'; make it with: ip netns add no-such-ns");
        }
    }

    @Test
    void namesAScriptThatIsNotThere() throws Exception {
        try (Tool serve = xenback(directory, serve("--vif=script=/no/such/script"))) {
            assertEnd(serve.awaitEnd(), 1, "xenback: /no/such/script: no such script, or it is not executable");
        }
    }

    @Test
    void tellsThatTheRightToTunIsMissing() throws Exception {
        try (Tool serve = xenbackWithoutPrivileges(directory, serve("--vif=vifname=xnbnoright"))) {
            assertEnd(serve.awaitEnd(), 1, "xenback: xnbnoright: permission denied; run as root or with CAP_NET_ADMIN");
        }
    }

    @Test
    void tellsThatTunIsMissing() throws Exception {
        Root.need("a mount namespace");
        List<String> words = new ArrayList<>(List.of(
                "unshare",
                "--mount",
                "sh",
                "-c",
                "mount -t tmpfs none /dev/net && exec \"$0\" \"$@\"",
                root().resolve("xenback").toString()));
        words.addAll(List.of(serve("--vif=vifname=xnbnotun")));
        try (Tool serve = Tool.start(words, directory, Map.of())) {
            assertEnd(
                    serve.awaitEnd(), 1, "xenback: /dev/net/tun: is missing; load the kernel's module (modprobe tun)");
        }
    }

    @Test
    void namesAnInterfaceThatIsTaken() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            bench.host("ip", "link", "add", "xnb1i0", "type", "bridge");
            assertEnd(
                    bench.start("--vif=mtu=1500", "--guest-netns=" + bench.guestNamespace())
                            .awaitEnd(),
                    1,
                    "xenback: xnb1i0: there is an interface of that name, and it is no TAP of this kind");
            bench.serve(1, "--vif=vifname=mine", "--guest-netns=" + bench.guestNamespace());
            List<String> words = new ArrayList<>(List.of("ip", "netns", "exec", bench.hostNamespace()));
            words.addAll(RunningServe.command(directory.resolve("other"), "--vif=vifname=mine,guest-name=xn9"));
            try (Tool other = Tool.start(words, directory, Map.of())) {
                assertEnd(
                        other.awaitEnd(),
                        1,
                        "xenback: mine: the name is taken; choose another, or end the program that uses it");
            }
        }
    }

    @Test
    void tellsThatNobodyServes() throws Exception {
        try (Tool list = xenback(directory, "list", "--run-dir=" + directory)) {
            assertEnd(
                    list.awaitEnd(),
                    1,
                    "xenback: no running xenback answers at " + directory
                            + "/control.sock; is it the --run-dir of its serve?");
        }
    }

    private static void assertEnd(Tool.Result result, int status, String line) {
        assertThat(result.err().lines().filter(each -> !each.startsWith("XENSTORED_PATH=")))
                .containsExactly(line);
        assertThat(result.out()).isEmpty();
        assertThat(result.status()).isEqualTo(status);
    }

    private String[] serve(String... options) {
        List<String> words = RunningServe.command(directory.resolve("run"), options);
        return words.subList(1, words.size()).toArray(String[]::new);
    }

    private static Arguments wrong(String line, String... options) {
        return Arguments.of(line, options);
    }
}
