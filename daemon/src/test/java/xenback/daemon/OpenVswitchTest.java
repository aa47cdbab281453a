package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * An interface on an Open vSwitch whose datapath reads TAPs by packet sockets: what is said there of unfinished checksums and
 * large frames gets lost, so {@code offload=off} has them finished before.
 */
@Timeout(240)
final class OpenVswitchTest extends Checkout {
    private static final String GUEST_ADDRESS = "10.0.0.2";

    @TempDir
    private Path directory;

    private final List<Tool> tools = new ArrayList<>();

    @Test
    void carriesEverythingThroughADatapathInUserSpace() throws Exception {
        try (NicBench bench = new NicBench(directory);
                OpenVswitch ovs = new OpenVswitch(bench, directory)) {
            Tool serve = bench.serveWith(
                    ovs.environment(),
                    1,
                    "--vif=mac=00:16:3e:00:00:01,ip=" + GUEST_ADDRESS + "/24,bridge=ovsbr0.7,offload=off,script="
                            + ovs.script(),
                    "--guest-netns=" + bench.guestNamespace());
            assertThat(ovs.vsctl("list-ports", "ovsbr0").lines()).containsExactlyInAnyOrder("port", "xnb1i0");
            assertThat(ovs.vsctl("get", "port", "xnb1i0", "tag")).isEqualTo("7\n");
            Path watched = directory.resolve("watched.pcapng");
            Tool watcher = start(ovs.inPeer("tshark", "-n", "-i", "eth0", "-w", watched.toString()));
            watcher.awaitErr(line -> line.contains("Capturing on"));

            for (String bytes : List.of("56", "1472", "20000")) { // the last one in fragments
                assertThat(bench.guest(
                                "ping",
                                "-q",
                                "-c",
                                "3",
                                "-i",
                                "0.1",
                                "-W",
                                "10",
                                "-s",
                                bytes,
                                OpenVswitch.PEER_ADDRESS))
                        .contains(" 0% packet loss");
            }
            List<String> guest = List.of("ip", "netns", "exec", bench.guestNamespace());
            List<String> peer = ovs.inPeer();
            arrives("TCP", 1_000_000, guest, peer, OpenVswitch.PEER_ADDRESS);
            arrives("TCP", 1_000_000, peer, guest, GUEST_ADDRESS);
            for (int bytes : new int[] {1_000, 60_000}) {
                arrives("UDP", bytes, guest, peer, OpenVswitch.PEER_ADDRESS);
                arrives("UDP", bytes, peer, guest, GUEST_ADDRESS);
            }

            watcher.signal("INT");
            watcher.awaitEnd();
            assertThat(checksums(watched)).doesNotContain("0").contains("1");
            NicBench.stop(serve);
            assertThat(ovs.vsctl("list-ports", "ovsbr0")).isEqualTo("port\n");
        } finally {
            tools.forEach(Tool::close);
        }
    }

    /** Of each whole datagram and segment from the guest as it came out of the switch: 1 if the checksum is right, 0 if not. */
    private static List<String> checksums(Path capture) throws Exception {
        return Tool.need(
                        "tshark",
                        "-n",
                        "-r",
                        capture.toString(),
                        "-o",
                        "tcp.check_checksum:TRUE",
                        "-o",
                        "udp.check_checksum:TRUE",
                        "-Y",
                        "ip.src==" + GUEST_ADDRESS + " && (tcp || udp)",
                        "-T",
                        "fields",
                        "-e",
                        "tcp.checksum.status",
                        "-e",
                        "udp.checksum.status")
                .lines()
                .map(String::strip)
                .toList();
    }

    /** Sends so many bytes, by UDP in one datagram, and compares what has come. */
    private void arrives(String protocol, int bytes, List<String> from, List<String> to, String address)
            throws Exception {
        Path sent = directory.resolve("sent");
        byte[] content = new byte[bytes];
        new Random(bytes).nextBytes(content);
        Files.write(sent, content);
        Path received = directory.resolve("received");
        Files.deleteIfExists(received);
        boolean tcp = protocol.equals("TCP");
        try (Tool receiver = start(with(
                to,
                "socat",
                "-d",
                "-d",
                "-u",
                "-b",
                "65000",
                tcp ? "TCP-LISTEN:5000" : "UDP-RECV:5000",
                "CREATE:" + received))) {
            receiver.awaitErr(line -> line.contains(tcp ? "listening on" : "starting data transfer loop"));
            Tool sender =
                    start(with(from, "socat", "-u", "-b", "65000", "FILE:" + sent, protocol + ":" + address + ":5000"));
            assertThat(sender.awaitEnd().status()).isZero();
            Tool.awaitTrue(
                    protocol + " of " + bytes + " bytes to " + address,
                    () -> Files.exists(received) && Files.size(received) >= bytes);
        }
        assertThat(received).hasBinaryContent(content);
    }

    private static List<String> with(List<String> place, String... command) {
        List<String> words = new ArrayList<>(place);
        words.addAll(List.of(command));
        return words;
    }

    private Tool start(List<String> command) throws Exception {
        Tool tool = Tool.start(command, directory, Map.of());
        tools.add(tool);
        return tool;
    }
}
