package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Network interfaces of {@code ./xenback serve} as programs of Linux see them. */
@Timeout(180)
final class ServeNicTest extends Checkout {
    private static final String VIF = "--vif=mac=00:16:3e:00:00:01,ip=10.0.0.2/24,host-ip=10.0.0.1/24";

    @TempDir
    private Path directory;

    @Test
    void joinsTwoEthernetDevices() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            Tool serve = bench.serve(1, VIF + ",mtu=9000", "--guest-netns=" + bench.guestNamespace());

            ping(bench, 0);
            ping(bench, 8972);
            bench.guest("ping", "-q", "-c", "2", "-i", "0.05", "-W", "10", "10.0.0.1");
            assertThat(bench.guest("ip", "link", "show", "xn0"))
                    .contains("00:16:3e:00:00:01")
                    .contains("mtu 9000");
            assertThat(bench.host("ip", "link", "show", "xnb1i0"))
                    .contains("fe:ff:ff:ff:ff:ff")
                    .contains("mtu 9000");
            assertThat(bench.guest("ethtool", "-k", "xn0")).contains("tcp-segmentation-offload: on");

            Tool.Result result = NicBench.stop(serve);
            assertThat(result.out())
                    .isEqualTo("xn0 (00:16:3e:00:00:01 of domain 1, mtu 9000, 10.0.0.2/24, in namespace "
                            + bench.guestNamespace() + ") - xnb1i0: tap xnb1i0\n");
            assertThat(result.err())
                    .contains("xnb backend: attach interface xnb1i0 (xnb1i0) for domain 1\n")
                    .contains("xnb backend: xnb1i0 for domain 1 using event channel ")
                    .contains("detach device xnb1i0 for domain 1\n");
            assertThat(bench.host("ip", "-br", "link")).doesNotContain("xnb1i0");
            assertThat(bench.guest("ip", "-br", "link")).doesNotContain("xn0");
        }
    }

    @Test
    void servesDisksAndInterfacesOfOneGuest() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            Tool serve = bench.serve(
                    1,
                    "--create=8M",
                    "--disk=disk.img,raw,xvda,w",
                    VIF + ",queues=2",
                    "--guest-netns=" + bench.guestNamespace());
            String uri = "nbd+unix:///xbd0?socket=" + bench.runDir().resolve("nbd.sock");
            serve.awaitOut(line -> line.endsWith(uri));

            ping(bench, 1000);
            Tool.need("qemu-io", "-f", "raw", "-c", "write -P 7 0 1M", "-c", "read -P 7 0 1M", uri);

            assertThat(bench.answer("list"))
                    .containsPattern("(?m)^xbdback1i51712 +xbd0 +1  xvda, 8.0 MiB, ")
                    .containsPattern("(?m)^xnb1i0 +xn0 +1  00:16:3e:00:00:01, tap xnb1i0$");
            for (String line : bench.answer("list", "--json").lines().toList()) {
                StrictJson.parse(line);
            }
            assertThat(bench.answer("sysctl", "dev.xbdback.0.dump_rings"))
                    .startsWith("dev.xbdback.0.dump_rings:\nqueue 0 ")
                    .contains("ring of ")
                    .contains("reqProd ");
            assertThat(bench.answer("sysctl", "-n", "dev.xnb.0.dump_control"))
                    .contains("hash algorithm ")
                    .contains("queue 0 staged ");
            assertThat(bench.answer("sysctl", "-n", "dev.xnb.0.dump_rings"))
                    .contains("queue 0 tx ring of 256: reqProd ")
                    .contains(", rx ring of 256: reqProd ")
                    .contains("queue 1 tx ring of 256: reqProd ");
            assertThat(bench.answer("sysctl", "-a"))
                    .contains("dev.xbdback.0.written_bytes: 1048576\n")
                    .contains("dev.xnb.0.mac: 00:16:3e:00:00:01\n")
                    .contains("xnb_add_mbuf_cksum_udp: passed\n");
            NicBench.stop(serve);
        }
    }

    @Test
    void runsTheUnitTestsAsXnbDoes() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            bench.serve(1, VIF, "--guest-netns=" + bench.guestNamespace());

            List<String> lines = bench.answer("sysctl", "dev.xnb.0.unit_test_results")
                    .lines()
                    .toList();

            assertThat(lines.getFirst()).isEqualTo("dev.xnb.0.unit_test_results:");
            assertThat(lines.stream().filter(line -> line.matches("xnb_\\w+: passed")))
                    .hasSize(53);
            assertThat(lines)
                    .anyMatch(line -> line.matches("[0-9]+ Tests Passed"))
                    .noneMatch(line -> line.contains("FAILED"));
            Tool.Result unknown = bench.ask("sysctl", "dev.xnb.1.dump_rings").awaitEnd();
            assertThat(unknown.status()).isEqualTo(1);
            assertThat(unknown.err())
                    .isEqualTo("xenback: unknown oid 'dev.xnb.1.dump_rings'; see: xenback sysctl -a -N\n");
        }
    }

    @Test
    void capturesBothDirections() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            bench.serve(1, VIF, "--guest-netns=" + bench.guestNamespace());
            ping(bench, 10); // addresses are known from here on
            Path file = directory.resolve("ping.pcapng");
            Tool capture = bench.ask("capture", "xnb0", "-w", file.toString());
            capture.awaitErr(line -> line.equals("capturing xnb0"));
            bench.host("ping", "-q", "-c", "3", "-i", "0.05", "-W", "10", "-s", "100", "10.0.0.2");

            capture.signal("INT");
            Tool.Result result = capture.awaitEnd();

            assertThat(result.status()).isZero();
            assertThat(result.err()).matches("capturing xnb0\n[0-9]+ frames, 0 dropped\n");
            assertThat(Tool.need(
                            "tshark",
                            "-n",
                            "-r",
                            file.toString(),
                            "-Y",
                            "icmp",
                            "-T",
                            "fields",
                            "-e",
                            "frame.interface_name",
                            "-e",
                            "frame.packet_flags_direction",
                            "-e",
                            "icmp.type"))
                    .isEqualTo("xnb1i0\t0x00000002\t8\nxnb1i0\t0x00000001\t0\n".repeat(3));
            assertThat(Tool.need("tshark", "-n", "-r", file.toString()).lines().count())
                    .isEqualTo(
                            Long.parseLong(result.err().lines().toList().get(1).replaceAll(" .*", "")));
        }
    }

    /** A pipe that is full, then a socket, then the ring of frames: what does not fit is lost to the capture and to nobody else. */
    @Test
    void aCaptureThatNobodyReadsHoldsNobodyUpAndTellsItsLosses() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            Path file = directory.resolve("late.pcapng");
            Path read = directory.resolve("read");
            Tool capture = captureIntoAPipe(bench, "until [ -e " + read + " ]; do sleep 0.05; done; exec cat >" + file);
            flood(bench);

            Files.createFile(read);
            capture.signal("INT");
            Tool.Result result = capture.awaitEnd();

            assertThat(result.status()).isZero();
            assertThat(result.err()).matches("capturing xnb0\n[0-9]+ frames, [1-9][0-9]* dropped\n");
            long frames = Long.parseLong(result.err().lines().toList().getLast().replaceAll(" .*", ""));
            Tool.awaitTrue("all frames in the file", () -> framesOf(file) == frames);
        }
    }

    @Test
    void aCaptureThatNobodyEverReadsSaysSo() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            Tool capture = captureIntoAPipe(bench, "exec sleep infinity");
            flood(bench);

            capture.signal("INT");
            Tool.Result result = capture.awaitEnd();

            assertThat(result.status()).isEqualTo(1);
            assertThat(result.err())
                    .isEqualTo("capturing xnb0\nxenback: " + directory.resolve("pipe")
                            + " takes no more; it ends without its last frames and their count\n");
        }
    }

    /** Begins a capture into a pipe that a shell holds open and may read. */
    private Tool captureIntoAPipe(NicBench bench, String reader) throws Exception {
        bench.serve(1, VIF + ",mtu=9000", "--guest-netns=" + bench.guestNamespace());
        ping(bench, 10);
        Path pipe = directory.resolve("pipe");
        Tool.need("mkfifo", pipe.toString());
        bench.startHost("sh", "-c", "exec <" + pipe + "; " + reader);
        Tool capture = bench.ask("capture", "xnb0", "-w", pipe.toString());
        capture.awaitErr(line -> line.equals("capturing xnb0"));
        return capture;
    }

    /** More than all that lies between can hold, 36 MB; one packet at a time, so that no queue of the kernel loses one. */
    private static void flood(NicBench bench) throws Exception {
        String[] words = {"ping", "-q", "-A", "-c", "300", "-W", "10", "-s", "60000", "10.0.0.2"};
        assertThat(bench.host(words)).contains("300 received");
    }

    private static long framesOf(Path file) throws Exception {
        return Tool.run("tshark", "-n", "-r", file.toString()).out().lines().count();
    }

    @Test
    void endsACaptureWithTheServe() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            Tool serve = bench.serve(1, VIF, "--guest-netns=" + bench.guestNamespace());
            Tool capture = bench.ask(
                    "capture", "xn0", "-w", directory.resolve("end.pcapng").toString());
            capture.awaitErr(line -> line.equals("capturing xn0"));
            ping(bench, 10);

            NicBench.stop(serve);

            Tool.Result result = capture.awaitEnd();
            assertThat(result.status()).as(result.err()).isZero();
            assertThat(result.err()).containsPattern("[1-9][0-9]* frames, 0 dropped\n");
            Tool.need("tshark", "-n", "-r", directory.resolve("end.pcapng").toString());
        }
    }

    @Test
    void refusesToCaptureWhatIsNotThere() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            bench.serve(1, VIF, "--guest-netns=" + bench.guestNamespace());
            Tool.Result result = bench.ask("capture", "xnb7", "-w", "no.pcapng").awaitEnd();
            assertThat(result.status()).isEqualTo(1);
            assertThat(result.err()).isEqualTo("xenback: no interface 'xnb7'; see: xenback list\n");
            assertThat(directory.resolve("no.pcapng")).doesNotExist();
        }
    }

    @Test
    void goesOnABridge() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            bridge(bench);
            Tool serve = bench.serve(
                    1,
                    "--vif=mac=00:16:3e:00:00:01,ip=10.0.0.2/24,bridge=br0,vifname=guest-net",
                    "--guest-netns=" + bench.guestNamespace());
            ping(bench, 1000);
            assertThat(bench.host("ip", "link", "show", "master", "br0")).contains("guest-net");
            NicBench.stop(serve);
        }
    }

    @Test
    void letsAGuestSendFromItsOwnAddressesAlone() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            bench.serve(1, VIF + ",antispoof=on", "--guest-netns=" + bench.guestNamespace());
            ping(bench, 1000);
            assertThat(bench.answer("sysctl", "-n", "dev.xnb.0.drops")).doesNotContain("SPOOFED");

            bench.guest("ip", "address", "add", "10.0.0.66/24", "dev", "xn0");
            assertThat(pinged(bench, "10.0.0.66")).isFalse();
            assertThat(bench.answer("sysctl", "-n", "dev.xnb.0.drops")).contains("SPOOFED=");
            assertThat(pinged(bench, "10.0.0.2")).isTrue();

            bench.guest("ip", "link", "set", "xn0", "address", "00:16:3e:00:00:66");
            assertThat(pinged(bench, "10.0.0.2")).isFalse();
            bench.guest("ip", "link", "set", "xn0", "address", "00:16:3e:00:00:01");
            assertThat(pinged(bench, "10.0.0.2")).isTrue();
        }
    }

    /** Whether the host answers the guest's address. */
    private static boolean pinged(NicBench bench, String source) throws Exception {
        try (Tool ping = bench.startGuest("ping", "-q", "-c", "1", "-W", "2", "-I", source, "10.0.0.1")) {
            return ping.awaitEnd().status() == 0;
        }
    }

    @Test
    void givesAGuestItsAddressByDhcpThroughABridge() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            bridge(bench);
            bench.serve(
                    1,
                    "--vif=mac=00:16:3e:00:00:01,bridge=br0,antispoof=on",
                    "--guest-netns=" + bench.guestNamespace());
            Tool server = bench.startHost(
                    "dnsmasq",
                    "--keep-in-foreground",
                    "--conf-file=/dev/null",
                    "--port=0",
                    "--interface=br0",
                    "--bind-interfaces",
                    "--log-facility=-",
                    "--dhcp-leasefile=" + directory.resolve("leases"),
                    "--dhcp-range=10.0.0.50,10.0.0.60,1h",
                    "--dhcp-host=00:16:3e:00:00:01,10.0.0.55");
            server.awaitErr(line -> line.contains("IP range"));
            Path script = script("echo $1 $ip\n");
            Tool client = bench.startGuest(
                    "busybox", "udhcpc", "-i", "xn0", "-n", "-q", "-f", "-t", "20", "-T", "1", "-s", script.toString());
            assertThat(client.awaitOut(line -> line.startsWith("bound"))).isEqualTo("bound 10.0.0.55");
        }
    }

    @Test
    void callsTheHotplugScriptAsLibxlDoes() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            bridge(bench);
            Path log = directory.resolve("script.log");
            Path script = script("""
                    echo "$@ $vif $XENBUS_TYPE $XENBUS_PATH $(xenstore-read "$XENBUS_PATH/mac")" >>%s
                    [ "$1" = online ] || exit 0
                    ip link set "$vif" master "$(xenstore-read "$XENBUS_PATH/bridge")" up
                    xenstore-write "$XENBUS_PATH/hotplug-status" connected
                    """.formatted(log));
            Tool serve = bench.serve(
                    1,
                    "--vif=mac=00:16:3e:00:00:01,ip=10.0.0.2/24,bridge=br0,script=" + script,
                    "--guest-netns=" + bench.guestNamespace());
            ping(bench, 1000);
            NicBench.stop(serve);
            assertThat(Files.readAllLines(log))
                    .containsExactly(
                            "online type_if=vif xnb1i0 vif backend/vif/1/0 00:16:3e:00:00:01",
                            "offline type_if=vif xnb1i0 vif backend/vif/1/0 00:16:3e:00:00:01");
        }
    }

    @Test
    void tellsTheLastWordsOfAScript() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            Path script = script("echo first; echo 'no bridge of that name' >&2; exit 3\n");
            Tool serve = bench.start(
                    "--vif=mac=00:16:3e:00:00:01,script=" + script, "--guest-netns=" + bench.guestNamespace());
            Tool.Result result = serve.awaitEnd();
            assertThat(result.status()).isEqualTo(1);
            assertThat(result.err().lines().toList().getLast())
                    .startsWith("xenback: ")
                    .endsWith("no bridge of that name");
        }
    }

    @Test
    void joinsGuestsByAHub() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            bench.serve(
                    2,
                    "--vif=mac=00:16:3e:00:00:01,ip=10.0.0.2/24,link=hub:lan",
                    "--vif=mac=00:16:3e:00:00:02,guest=2,link=hub:lan",
                    "--guest-netns=" + bench.guestNamespace());
            // The second guest's end goes elsewhere, or the kernel would answer without a frame.
            Tool.need("ip", "-n", bench.guestNamespace(), "link", "set", "xn1", "netns", bench.hostNamespace());
            bench.host("ip", "address", "add", "10.0.0.3/24", "dev", "xn1");
            bench.host("ip", "link", "set", "xn1", "up");

            bench.guest("ping", "-q", "-c", "3", "-i", "0.05", "-W", "10", "-s", "1000", "10.0.0.3");

            assertThat(bench.answer("sysctl", "-n", "dev.xnb.1.link")).isEqualTo("hub:lan\n");
        }
    }

    @Test
    void writesWhatAGuestSendsToAFile() throws Exception {
        try (NicBench bench = new NicBench(directory)) {
            Path file = directory.resolve("sent.pcapng");
            Tool serve = bench.serve(
                    1,
                    "--vif=mac=00:16:3e:00:00:01,ip=10.0.0.2/24,link=pcap:" + file,
                    "--guest-netns=" + bench.guestNamespace());
            bench.guest("ip", "neighbour", "add", "10.0.0.1", "lladdr", "00:16:3e:00:00:09", "dev", "xn0");
            bench.guest("bash", "-c", "echo hello >/dev/udp/10.0.0.1/4000");
            Tool.awaitTrue(
                    "a frame was sent",
                    () -> Integer.parseInt(bench.answer("sysctl", "-n", "dev.xnb.0.tx_packets")
                                    .strip())
                            > 0);
            NicBench.stop(serve);
            assertThat(Tool.need(
                            "tshark",
                            "-n",
                            "-r",
                            file.toString(),
                            "-o",
                            "udp.check_checksum:TRUE",
                            "-Y",
                            "udp.dstport==4000",
                            "-T",
                            "fields",
                            "-e",
                            "udp.checksum.status",
                            "-e",
                            "data"))
                    .isEqualTo("1\t68656c6c6f0a\n");
        }
    }

    private static void ping(NicBench bench, int bytes) throws Exception {
        String[] words = {"ping", "-q", "-c", "3", "-i", "0.05", "-W", "10", "-M", "do", "-s", "" + bytes, "10.0.0.2"};
        assertThat(bench.host(words)).contains(" 0% packet loss");
    }

    private static void bridge(NicBench bench) throws Exception {
        bench.host("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0");
        bench.host("ip", "address", "add", "10.0.0.1/24", "dev", "br0");
        bench.host("ip", "link", "set", "br0", "up");
    }

    private Path script(String body) throws Exception {
        Path script = Files.writeString(directory.resolve("script"), "#!/bin/sh\n" + body);
        return Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwx------"));
    }
}
