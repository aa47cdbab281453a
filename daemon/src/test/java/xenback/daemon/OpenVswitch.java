package xenback.daemon;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * An Open vSwitch of a test's own, with its datapath in user space, which needs no kernel module: a bridge {@code ovsbr0} in the
 * host's namespace of a {@link NicBench}, and a namespace of a peer behind a port of it, in VLAN 7. Its files are in one directory; its
 * programs end with the bench.
 */
final class OpenVswitch implements AutoCloseable {
    static final String PEER_ADDRESS = "10.0.0.3";

    private static final Path SCRIPT_OF_XEN = Path.of("/etc/xen/scripts/vif-openvswitch");

    private final NicBench bench;
    private final Path directory;
    private final String peer;

    OpenVswitch(NicBench bench, Path parent) throws IOException, InterruptedException {
        this.bench = bench;
        directory = Files.createDirectory(parent.resolve("ovs"));
        peer = bench.hostNamespace().replace("xnbh", "xnbp");
        Path database = directory.resolve("conf.db");
        Tool.need("ovsdb-tool", "create", database.toString(), "/usr/share/openvswitch/vswitch.ovsschema");
        Tool server = bench.startHost(with(
                "ovsdb-server",
                database.toString(),
                "--remote=punix:" + directory.resolve("db.sock"),
                "--unixctl=" + directory.resolve("db.ctl")));
        server.awaitErr(line -> line.contains("ovsdb-server (Open vSwitch)"));
        vsctl("--no-wait", "init");
        bench.startHost(with(
                "ovs-vswitchd", "unix:" + directory.resolve("db.sock"), "--unixctl=" + directory.resolve("vs.ctl")));
        vsctl("add-br", "ovsbr0", "--", "set", "bridge", "ovsbr0", "datapath_type=netdev");
        Tool.need("ip", "netns", "add", peer);
        bench.host("ip", "link", "add", "port", "type", "veth", "peer", "name", "eth0", "netns", peer);
        bench.host("ip", "link", "set", "port", "up");
        peer("ip", "address", "add", PEER_ADDRESS + "/24", "dev", "eth0");
        // It too would leave checksums to a device that there is none of behind this datapath (OVS' own tests do the
        // same).
        peer("ethtool", "-K", "eth0", "tx", "off");
        peer("ip", "link", "set", "eth0", "up");
        vsctl("add-port", "ovsbr0", "port", "tag=7");
    }

    /** What the programs find each other by, scripts that were not written for it too. */
    Map<String, String> environment() {
        return Map.of("OVS_RUNDIR", directory.toString());
    }

    private String[] with(String... command) {
        List<String> words = new ArrayList<>(List.of("env", "OVS_RUNDIR=" + directory));
        words.addAll(List.of(command));
        return words.toArray(String[]::new);
    }

    /** Runs ovs-vsctl, which waits until it is done. */
    String vsctl(String... words) throws IOException, InterruptedException {
        List<String> all = new ArrayList<>(List.of("ovs-vsctl", "--timeout=50"));
        all.addAll(List.of(words));
        return bench.host(with(all.toArray(String[]::new)));
    }

    /** Runs a program that must succeed in the peer's namespace. */
    String peer(String... command) throws IOException, InterruptedException {
        return Tool.need(inPeer(command).toArray(String[]::new));
    }

    List<String> inPeer(String... command) {
        List<String> words = new ArrayList<>(List.of("ip", "netns", "exec", peer));
        words.addAll(List.of(command));
        return words;
    }

    /** Xen's hotplug script where it is installed, else one that does the same to the switch. */
    Path script() throws IOException {
        if (Files.isExecutable(SCRIPT_OF_XEN)) {
            return SCRIPT_OF_XEN;
        }
        Path script = Files.writeString(directory.resolve("script"), """
                #!/bin/sh -e
                bridge=$(xenstore-read "$XENBUS_PATH/bridge")
                vlan=${bridge##*.}
                ovs-vsctl --timeout=30 -- --if-exists del-port "$vif"
                [ "$1" = online ] || exit 0
                ovs-vsctl --timeout=30 -- add-port "${bridge%%.*}" "$vif" tag="$vlan"
                ip link set "$vif" up
                xenstore-write "$XENBUS_PATH/hotplug-status" connected
                """);
        return Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwx------"));
    }

    @Override
    public void close() throws IOException {
        new ProcessBuilder("ip", "netns", "delete", peer).start().onExit().join();
    }
}
