package xenback.bench;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.SequencedMap;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import xenback.block.backend.BlockBackend;
import xenback.block.backend.BlockOptions;
import xenback.block.disk.DiskQueue;
import xenback.block.disk.DiskSource;
import xenback.block.frontend.Xbd;
import xenback.block.frontend.XbdOptions;
import xenback.block.protocol.Abi;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.embedded.Toolstack;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.LoopSource;
import xenback.xen.io.ScatterList;

/**
 * Load on a guest's disk from inside this process: what fio does to a file, through xbd, the ring, xbdback and the file.
 * Prints one line: requests per second, bytes per second, requests, CPU microseconds per request (of all threads of the
 * data path), bytes of Java heap allocated per request, and CPU microseconds per request of the backend's own thread, if it has one.
 */
public final class XbdLoad {
    private static final int XVDA = 51712;

    private final DiskQueue queue;
    private final boolean write;
    private final boolean random;
    private final int blockBytes;
    private final long blocks;
    private final ScatterList[] lists;
    private final MemorySegment memory;
    private final SplittableRandom seeds = new SplittableRandom(1);
    private long state = seeds.nextLong();
    private long next;
    private long done;
    private boolean stopping;
    private int running;
    private CompletableFuture<Boolean> idle = new CompletableFuture<>();
    private final Completion onDone = this::onDone;

    private XbdLoad(DiskQueue queue, String rw, int blockBytes, int depth, long sizeBytes, Arena arena) {
        this.queue = queue;
        write = rw.endsWith("write");
        random = rw.startsWith("rand");
        this.blockBytes = blockBytes;
        blocks = sizeBytes / blockBytes;
        lists = new ScatterList[depth];
        memory = arena.allocate((long) depth * blockBytes, 4096);
        for (int i = 0; i < depth; i++) {
            lists[i] = new ScatterList(1, arena);
        }
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 8) {
            System.err.println("usage: XbdLoad IMAGE|null:SIZE randread|randwrite|read|write BLOCK-BYTES DEPTH SECONDS"
                    + " WARM-UP-SECONDS one-loop|two-loops plain|usual|[persistent][,indirect=PAGES]");
            System.exit(2);
        }
        String image = args[0].startsWith("null:")
                ? args[0]
                : Path.of(args[0]).toAbsolutePath().toString();
        int blockBytes = Integer.parseInt(args[2]);
        int depth = Integer.parseInt(args[3]);
        boolean oneLoop = args[6].equals("one-loop");
        XbdOptions options = options(args[7]);
        Path run = Files.createTempDirectory("xenback-load");
        try (EmbeddedXen xen = EmbeddedXen.start(run);
                EventLoop loop = EventLoop.start("guest");
                EventLoop other = EventLoop.start("backend");
                Arena arena = Arena.ofShared()) {
            LoopSource.Lease lease = new LoopSource.Lease(oneLoop ? loop : other, true);
            try (BlockBackend backend = BlockBackend.start(
                    xen.domain0(),
                    BlockBackend.KIND,
                    BlockOptions.usual(),
                    (name, queue) -> lease,
                    DiskSource.TARGETS,
                    event -> {})) {
                Xbd xbd = attach(xen, image, loop, options);
                DiskQueue queue = loop.call(() -> xbd.openQueue(loop));
                XbdLoad load = new XbdLoad(queue, args[1], blockBytes, depth, xbd.sizeBytes(), arena);
                load.run(loop, Integer.parseInt(args[5]));
                Meter before = Meter.now(load.done);
                load.run(loop, Integer.parseInt(args[4]));
                Meter.now(load.done).printSince(before, blockBytes);
                if (backend.devices().getFirst().counters().errors() > 0) {
                    throw new IllegalStateException("requests failed");
                }
                xbd.close();
            }
        } finally {
            Files.deleteIfExists(run);
        }
    }

    private static XbdOptions options(String features) {
        if (features.equals("usual")) {
            return XbdOptions.usual();
        }
        boolean persistent = false;
        int indirectPages = 0;
        for (String feature : features.split(",", -1)) {
            switch (feature) {
                case "plain" -> {}
                case "persistent" -> persistent = true;
                case String indirect
                when indirect.startsWith("indirect=") ->
                    indirectPages = Integer.parseInt(indirect.substring("indirect=".length()));
                default -> throw new IllegalArgumentException("feature " + feature);
            }
        }
        return new XbdOptions(Abi.NATIVE, 0, false, 1, indirectPages, persistent, false);
    }

    private void run(EventLoop loop, int seconds) throws Exception {
        idle = new CompletableFuture<>();
        loop.execute(() -> {
            stopping = false;
            for (int i = 0; i < lists.length; i++) {
                start(i);
            }
        });
        Thread.sleep(seconds * 1000L);
        loop.execute(() -> stopping = true);
        idle.join();
    }

    private void start(int slot) {
        long block = random ? Math.floorMod(nextRandom(), blocks) : next++ % blocks;
        ScatterList list = lists[slot];
        list.clear();
        list.add(memory, (long) slot * blockBytes, blockBytes);
        running++;
        if (write) {
            queue.write(block * blockBytes, list, onDone, slot);
        } else {
            queue.read(block * blockBytes, list, onDone, slot);
        }
    }

    private void onDone(int slot, int result) {
        if (result < 0) {
            throw new IllegalStateException("a request failed: errno " + -result);
        }
        done++;
        running--;
        if (!stopping) {
            start(slot);
        } else if (running == 0) {
            idle.complete(true);
        }
    }

    /** xorshift64: random enough, and no allocation. */
    private long nextRandom() {
        state ^= state << 13;
        state ^= state >>> 7;
        state ^= state << 17;
        return state;
    }

    private static Xbd attach(EmbeddedXen xen, String image, EventLoop loop, XbdOptions options) throws Exception {
        Toolstack toolstack = new Toolstack(xen.domain0().store());
        Domain guest = xen.createDomain(1, options.guestPages());
        toolstack.createHome(1, "guest1");
        SequencedMap<String, String> backend = new LinkedHashMap<>();
        backend.put("params", image);
        backend.put("mode", "w");
        Toolstack.Device device =
                new Toolstack.Device(BlockBackend.KIND, "vbd", 0, 1, XVDA, backend, new LinkedHashMap<>());
        return Xbd.start("xbd0", guest, toolstack.attach(device), options, List.of(loop));
    }

    /** What the data path's threads had used at a moment. */
    private record Meter(long nanos, long cpuNanos, long backendCpuNanos, long allocatedBytes, long requests) {
        static Meter now(long requests) {
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            long cpu = 0;
            long backendCpu = 0;
            long allocated = 0;
            for (var info : threads.getThreadInfo(threads.getAllThreadIds())) {
                if (info != null
                        && (info.getThreadName().equals("guest")
                                || info.getThreadName().equals("backend"))) {
                    long itsCpu = threads.getThreadCpuTime(info.getThreadId());
                    cpu += itsCpu;
                    backendCpu += info.getThreadName().equals("backend") ? itsCpu : 0;
                    allocated += threads.getThreadAllocatedBytes(info.getThreadId());
                }
            }
            return new Meter(System.nanoTime(), cpu, backendCpu, allocated, requests);
        }

        void printSince(Meter before, int blockBytes) {
            double seconds = (nanos - before.nanos) / 1e9;
            long count = requests - before.requests;
            System.out.printf(
                    Locale.ROOT,
                    "%.1f %.0f %d %.3f %.4f %.3f%n",
                    count / seconds,
                    count / seconds * blockBytes,
                    count,
                    (cpuNanos - before.cpuNanos) / 1e3 / count,
                    (double) (allocatedBytes - before.allocatedBytes) / count,
                    (backendCpuNanos - before.backendCpuNanos) / 1e3 / count);
        }
    }
}
