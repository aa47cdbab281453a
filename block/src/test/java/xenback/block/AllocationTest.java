package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.block.disk.DiskQueue;
import xenback.block.frontend.Xbd;
import xenback.block.protocol.Abi;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.io.ScatterList;

/** A request costs no garbage, neither in xbdback nor in xbd: the collector has nothing to do with a guest's I/O. */
class AllocationTest {
    private static final int DEPTH = 8;
    private static final int REQUESTS = 20_000;

    /**
     * Rounds until one is clean. The first ones run interpreted, where the linker makes a slice per system call; what is
     * compiled makes none. What the code itself allocates per request, or per thousand, stays in every round.
     */
    private static final int ROUNDS = 40;

    private static final double LIMIT_BYTES_PER_REQUEST = 0.1;

    @TempDir
    private Path dir;

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void requestsAllocateNothing(Engine engine) throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), 1 << 20);
        try (Machine machine = new Machine(dir, engine);
                Arena arena = Arena.ofShared()) {
            Xbd xbd = machine.attach(machine.guest(1), 51712, image, "w", Abi.X86_64);
            Load load = new Load(xbd.loop(), xbd.loop().call(() -> xbd.openQueue(xbd.loop())), arena);
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            long backend = threadNamed("xbdback1i51712");
            long frontend = threadNamed("xbd0");
            List<String> rounds = new ArrayList<>();
            boolean clean = false;
            while (!clean && rounds.size() < ROUNDS) {
                long backendBefore = threads.getThreadAllocatedBytes(backend);
                long frontendBefore = threads.getThreadAllocatedBytes(frontend);
                load.run(REQUESTS);
                double backendBytes = (threads.getThreadAllocatedBytes(backend) - backendBefore) / (double) REQUESTS;
                double frontendBytes = (threads.getThreadAllocatedBytes(frontend) - frontendBefore) / (double) REQUESTS;
                rounds.add("xbdback " + backendBytes + ", xbd " + frontendBytes);
                clean = backendBytes < LIMIT_BYTES_PER_REQUEST && frontendBytes < LIMIT_BYTES_PER_REQUEST;
            }

            assertThat(load.failures).isZero();
            assertThat(clean)
                    .as("bytes per request, round by round: %s", rounds)
                    .isTrue();
        }
    }

    private static long threadNamed(String name) {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals(name))
                .findFirst()
                .orElseThrow(() -> new AssertionError("no thread " + name))
                .threadId();
    }

    /** Reads and writes of 4 KiB in turn, some at a time, on the queue's own loop. */
    private static final class Load {
        private final EventLoop loop;
        private final DiskQueue queue;
        private final ScatterList[] lists = new ScatterList[DEPTH];
        private final Completion done = this::onDone;
        private int left;
        private int running;
        private int failures;
        private CountDownLatch ended = new CountDownLatch(0);

        Load(EventLoop loop, DiskQueue queue, Arena arena) {
            this.loop = loop;
            this.queue = queue;
            for (int i = 0; i < DEPTH; i++) {
                lists[i] = new ScatterList(1, arena);
                lists[i].add(arena.allocate(4096, 4096), 0, 4096);
            }
        }

        void run(int requests) throws InterruptedException {
            ended = new CountDownLatch(1);
            loop.execute(() -> {
                left = requests;
                for (int i = 0; i < DEPTH; i++) {
                    start(i);
                }
            });
            assertThat(ended.await(60, TimeUnit.SECONDS))
                    .as("%d requests left", left)
                    .isTrue();
        }

        private void start(int index) {
            left--;
            running++;
            long offset = 4096L * (left * 7 & 127);
            if ((left & 1) == 0) {
                queue.read(offset, lists[index], done, index);
            } else {
                queue.write(offset, lists[index], done, index);
            }
        }

        private void onDone(int index, int result) {
            running--;
            failures += result == 0 ? 0 : 1;
            if (left > 0) {
                start(index);
            } else if (running == 0) {
                ended.countDown();
            }
        }
    }
}
