package xenback.net;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.concurrent.CopyOnWriteArrayList;
import xenback.net.backend.NetBackend;
import xenback.net.backend.NetCounters;
import xenback.net.backend.NetDrop;
import xenback.net.backend.NetEvent;
import xenback.net.backend.NetOptions;
import xenback.net.frontend.Xn;
import xenback.net.frontend.XnOptions;
import xenback.net.link.TapLink;
import xenback.net.protocol.NetRule;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.embedded.Toolstack;
import xenback.xen.io.EventLoop;
import xenback.xen.io.LoopSource;
import xenback.xen.io.Tap;

/**
 * A machine with one guest and one interface: both ends are TAPs, each in a network namespace of its own, with an address, so
 * that what one end sends can only come to the other through the split driver.
 */
final class Crossover implements AutoCloseable {
    static final String HOST = "10.123.0.1";
    static final String GUEST = "10.123.0.2";

    private final String hostSpace;
    private final String guestSpace;
    private final EmbeddedXen xen;
    private final Toolstack toolstack;
    private final NetBackend backend;
    private final TapLink hostLink;
    private final TapLink guestLink;
    private final List<EventLoop> loops = new ArrayList<>();
    private final Xn xn;
    final List<NetEvent> events = new CopyOnWriteArrayList<>();

    Crossover(Path dir, int queues, int mtu) throws IOException {
        this(dir, NetOptions.usual().withQueues(queues), XnOptions.usual(), queues, mtu);
    }

    /** @param queues of both TAPs, and loops */
    Crossover(Path dir, NetOptions options, XnOptions xnOptions, int queues, int mtu) throws IOException {
        String id = Long.toString(ProcessHandle.current().pid(), 36);
        hostSpace = "xh" + id;
        guestSpace = "xg" + id;
        ip("netns add " + hostSpace);
        ip("netns add " + guestSpace);
        hostLink = inSpace(hostSpace, "xnh" + id, queues, HOST, mtu);
        guestLink = inSpace(guestSpace, "xng" + id, queues, GUEST, mtu);
        xen = EmbeddedXen.start(dir.resolve("run"));
        toolstack = new Toolstack(xen.domain0().store());
        for (int i = 0; i < queues; i++) {
            loops.add(EventLoop.start("xn0-" + i, EventLoop.Engine.AUTO));
        }
        LoopSource shared = (name, queue) -> new LoopSource.Lease(loops.get(queue), true);
        backend = NetBackend.start(xen.domain0(), options, shared, (name, directory) -> hostLink, events::add);
        Domain guest = xen.createDomain(1, Xn.guestPages(queues) + 16);
        toolstack.createHome(1, "guest1");
        xn = Xn.start("xn0", guest, toolstack.attach(vif()), xnOptions, guestLink, loops);
    }

    /** What libxl would write for {@code vif=['mac=00:16:3e:00:77:01']}. */
    private static Toolstack.Device vif() {
        SequencedMap<String, String> back = new LinkedHashMap<>();
        back.put("mac", "00:16:3e:00:77:01");
        back.put("handle", "0");
        back.put("type", "vif");
        SequencedMap<String, String> front = new LinkedHashMap<>();
        front.put("handle", "0");
        front.put("mac", "00:16:3e:00:77:01");
        return new Toolstack.Device(NetBackend.KIND, "vif", 0, 1, 0, back, front);
    }

    private static TapLink inSpace(String space, String name, int queues, String address, int mtu) throws IOException {
        TapLink link = TapLink.open(name, queues);
        ip("link set " + name + " netns " + space);
        ip("-n " + space + " link set " + name + " mtu " + mtu + " up");
        ip("-n " + space + " address add " + address + "/24 dev " + name);
        return link;
    }

    /** With a bridge at each end, which the TAPs of {@link #bridgedToHost} and {@link #bridgedToGuest} are ports of too. */
    static Crossover bridged(Path dir) throws IOException {
        return bridged(dir, NetOptions.usual().withQueues(1), XnOptions.usual(), 1);
    }

    static Crossover bridged(Path dir, NetOptions options, XnOptions xnOptions, int queues) throws IOException {
        Crossover cable = new Crossover(dir, options, xnOptions, queues, 65_521);
        try {
            cable.bridge(cable.hostSpace, cable.hostLink);
            cable.bridge(cable.guestSpace, cable.guestLink);
            return cable;
        } catch (IOException e) {
            cable.close();
            throw e;
        }
    }

    private void bridge(String space, TapLink link) throws IOException {
        String ip = "-n " + space + " ";
        ip(ip + "link add bridge type bridge forward_delay 0 mcast_snooping 0");
        run(in(space, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"));
        run(in(
                space,
                "sh",
                "-c",
                "for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 >$f; done"));
        ip(ip + "address flush dev " + link.name());
        ip(ip + "link set " + link.name() + " master bridge txqueuelen 10000");
        ip(ip + "link set bridge up");
    }

    /** A TAP without offload beyond the host's bridge. */
    Tap bridgedToHost() throws IOException {
        return bridgedTap(hostSpace, "xoh");
    }

    Tap bridgedToGuest() throws IOException {
        return bridgedTap(guestSpace, "xog");
    }

    private static Tap bridgedTap(String space, String prefix) throws IOException {
        Tap tap = Tap.open(prefix + space.substring(2), false);
        tap.setOffload(0);
        ip("link set " + tap.name() + " netns " + space);
        ip("-n " + space + " link set " + tap.name() + " master bridge mtu 65521 txqueuelen 10000 up");
        return tap;
    }

    NetBackend.Row row() {
        return backend.interfaces().getFirst();
    }

    /** What was lost and why, for a test that failed. */
    String numbers() {
        NetCounters counters = row().counters();
        StringBuilder text =
                new StringBuilder("from guest " + counters.txPackets() + ", to guest " + counters.rxPackets());
        for (NetDrop reason : NetDrop.values()) {
            text.append(", ").append(reason).append(' ').append(counters.drops(reason));
        }
        for (NetRule rule : NetRule.values()) {
            text.append(", ").append(rule).append(' ').append(counters.violations(rule));
        }
        return text + "\n" + xn + "\n" + events;
    }

    /** Runs a command at the host's end and returns what it printed. */
    String host(String... command) throws IOException {
        return run(in(hostSpace, command));
    }

    String guest(String... command) throws IOException {
        return run(in(guestSpace, command));
    }

    String hostDevice() {
        return hostLink.name();
    }

    String guestDevice() {
        return guestLink.name();
    }

    /** Starts a server at the host's end. */
    Process startHost(String... command) throws IOException {
        return new ProcessBuilder(in(hostSpace, command))
                .redirectErrorStream(true)
                .start();
    }

    /** Starts a server at the guest's end. */
    Process startGuest(String... command) throws IOException {
        return new ProcessBuilder(in(guestSpace, command))
                .redirectErrorStream(true)
                .start();
    }

    private static List<String> in(String space, String... command) {
        List<String> line = new ArrayList<>(List.of("ip", "netns", "exec", space));
        line.addAll(List.of(command));
        return line;
    }

    private static void ip(String arguments) throws IOException {
        List<String> line = new ArrayList<>(List.of("ip"));
        line.addAll(List.of(arguments.split(" ")));
        run(line);
    }

    private static String run(List<String> command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.onExit().join().exitValue() != 0) {
            throw new IOException(String.join(" ", command) + ": " + said);
        }
        return said;
    }

    @Override
    public void close() throws IOException {
        toolstack.detach(vif(), false);
        backend.close();
        xn.close();
        loops.forEach(EventLoop::close);
        guestLink.close();
        xen.close();
        ip("netns delete " + hostSpace);
        ip("netns delete " + guestSpace);
    }
}
