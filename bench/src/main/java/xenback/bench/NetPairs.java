package xenback.bench;

import com.sun.management.ThreadMXBean;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.SequencedMap;
import xenback.net.backend.NetBackend;
import xenback.net.backend.NetOptions;
import xenback.net.frontend.Xn;
import xenback.net.link.LinkQueue;
import xenback.net.link.TapLink;
import xenback.net.link.VnetHeader;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.embedded.Toolstack;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.LoopSource;
import xenback.xen.io.NetworkNamespace;
import xenback.xen.io.Tap;

/**
 * Two pairs of TAPs, both ends of a pair in different network namespaces: one joined by the split driver, one by a loop that reads
 * a frame here and writes it there, with the same offloads, memory and event loop. What the second does not reach, nothing can that
 * goes through TAPs.
 *
 * <p>Prints {@code ready}; then for each line on standard input a line {@code packets heap-bytes cpu-micros} for {@code split} and
 * {@code forward}, as they are so far; and ends with the input.
 */
public final class NetPairs {
    private static final int OFFLOAD = Tap.OFFLOAD_CHECKSUM | Tap.OFFLOAD_TSO4 | Tap.OFFLOAD_TSO6 | Tap.OFFLOAD_TSO_ECN;

    private NetPairs() {}

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            System.err.println("usage: NetPairs NAMESPACE-OF-THE-OTHER-ENDS");
            System.exit(2);
        }
        Path other = NetworkNamespace.named(args[0]);
        Path run = Files.createTempDirectory("xenback-net");
        try (EmbeddedXen xen = EmbeddedXen.start(run);
                EventLoop splitLoop = EventLoop.start("split");
                EventLoop forwardLoop = EventLoop.start("forward");
                Arena arena = Arena.ofShared();
                TapLink splitHere = up(TapLink.open("split0", 1));
                TapLink splitThere = up(TapLink.open("split1", 1, other));
                TapLink forwardHere = up(TapLink.open("forward0", 1));
                TapLink forwardThere = up(TapLink.open("forward1", 1, other));
                NetBackend backend = NetBackend.start(
                        xen.domain0(),
                        NetOptions.usual(),
                        (_, _) -> new LoopSource.Lease(splitLoop, true),
                        (_, _) -> splitHere,
                        _ -> {})) {
            Xn xn = attach(xen, splitThere, splitLoop);
            LinkQueue here = queue(forwardHere);
            LinkQueue there = queue(forwardThere);
            Forward out = new Forward(forwardLoop, here, there, arena);
            Forward back = new Forward(forwardLoop, there, here, arena);
            forwardLoop.execute(out::begin);
            forwardLoop.execute(back::begin);
            System.out.println("ready");
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                var counters = backend.interfaces().getFirst().counters();
                long packets = switch (line) {
                    case "split" -> counters.txPackets() + counters.rxPackets();
                    case "forward" -> forwardLoop.call(() -> out.frames + back.frames);
                    default -> 0;
                };
                System.out.println(meter(line, packets));
            }
            xn.close();
        } finally {
            Files.deleteIfExists(run);
        }
    }

    private static TapLink up(TapLink link) throws XenException {
        link.up();
        return link;
    }

    private static LinkQueue queue(TapLink link) throws XenException {
        LinkQueue queue = link.openQueue(0);
        queue.setOffload(OFFLOAD);
        return queue;
    }

    private static Xn attach(EmbeddedXen xen, TapLink link, EventLoop loop) throws XenException {
        Toolstack toolstack = new Toolstack(xen.domain0().store());
        Domain guest = xen.createDomain(1, Xn.guestPages(1));
        toolstack.createHome(1, "guest1");
        SequencedMap<String, String> nodes = new LinkedHashMap<>();
        nodes.put("handle", "0");
        nodes.put("mac", "00:16:3e:00:00:01");
        Toolstack.Device device = new Toolstack.Device(NetBackend.KIND, "vif", 0, 1, 0, nodes, nodes);
        return Xn.start("xn0", guest, toolstack.attach(device), link, List.of(loop));
    }

    private static String meter(String loop, long packets) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        for (var thread : threads.getThreadInfo(threads.getAllThreadIds())) {
            if (thread != null && thread.getThreadName().equals(loop)) {
                long id = thread.getThreadId();
                return String.format(
                        Locale.ROOT,
                        "%d %d %d",
                        packets,
                        threads.getThreadAllocatedBytes(id),
                        threads.getThreadCpuTime(id) / 1000);
            }
        }
        throw new IllegalStateException("no thread " + loop);
    }

    /** One direction of the plain loop. */
    private static final class Forward {
        /** As many frames as a split driver takes up in a turn. */
        private static final int BURST = 64;

        private final EventLoop loop;
        private final LinkQueue from;
        private final LinkQueue to;
        private final MemorySegment frame;
        private final Completion onReadable = (tag, result) -> forward();
        private final EventLoop.TurnEnd next = new EventLoop.TurnEnd() {
            @Override
            protected void endTurn() {
                forward();
            }
        };
        private long frames;

        Forward(EventLoop loop, LinkQueue from, LinkQueue to, Arena arena) {
            this.loop = loop;
            this.from = from;
            this.to = to;
            frame = arena.allocate(VnetHeader.BYTES + 65536L, 64);
        }

        void begin() {
            from.awaitFrame(loop, onReadable, 0);
        }

        private void forward() {
            for (int i = 0; i < BURST; i++) {
                int bytes = from.receive(frame, 0, (int) frame.byteSize());
                if (bytes < 0) {
                    from.awaitFrame(loop, onReadable, 0);
                    return;
                }
                to.send(frame, 0, bytes);
                frames++;
            }
            loop.atNextTurn(next);
        }
    }
}
