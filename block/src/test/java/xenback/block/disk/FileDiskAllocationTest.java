package xenback.block.disk;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.block.Machine;
import xenback.block.disk.FileDisk.Options;
import xenback.xen.Errno;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.EventLoop.Engine;

/** Discard and zeroes cost no garbage on the loop's thread, whichever way they are done. Needs root. */
class FileDiskAllocationTest {
    private static final int DEPTH = 4;
    private static final int OPERATIONS = 10_000;
    private static final int ROUNDS = 40; // until one is clean: see AllocationTest
    private static final double LIMIT_BYTES_PER_OPERATION = 0.1;

    @TempDir
    private Path dir;

    private Stores stores;

    @BeforeEach
    void openStores() {
        stores = new Stores(dir);
    }

    @AfterEach
    void undoStores() throws Exception {
        stores.undoAll();
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void holesAllocateNothing(Engine engine) throws Exception {
        assertClean(stores.image("disk.img", 1 << 20), engine, Load.DISCARD, 0);
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void discardsOfADeviceAllocateNothing(Engine engine) throws Exception {
        assertClean(stores.loopDevice(stores.image("disk.img", 1 << 20)), engine, Load.DISCARD, 0);
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void refusalsAllocateNothing(Engine engine) throws Exception {
        assertClean(stores.image("disk.img", 1 << 20), engine, Load.SECURE_DISCARD, -Errno.EOPNOTSUPP.number());
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void writtenZeroesAllocateNothing(Engine engine) throws Exception {
        Path image = Machine.image(stores.mount("tmpfs", "size=8m").resolve("disk.img"), 1 << 20);
        assertClean(image, engine, Load.ZEROES, 0);
    }

    private static void assertClean(Path path, Engine engine, int kind, int expected) throws Exception {
        try (FileDisk disk = FileDisk.open(path, new Options(false, false, false));
                EventLoop loop = EventLoop.start("disk", engine)) {
            Load load = new Load(loop, loop.call(() -> disk.openQueue(loop)), kind, expected);
            long thread = loop.call(() -> Thread.currentThread().threadId());
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            List<Double> rounds = new ArrayList<>();
            do {
                long before = threads.getThreadAllocatedBytes(thread);
                load.run();
                rounds.add((threads.getThreadAllocatedBytes(thread) - before) / (double) OPERATIONS);
            } while (rounds.getLast() >= LIMIT_BYTES_PER_OPERATION && rounds.size() < ROUNDS);
            assertThat(load.failures).isZero();
            assertThat(rounds.getLast())
                    .as("bytes per operation, round by round: %s", rounds)
                    .isLessThan(LIMIT_BYTES_PER_OPERATION);
        }
    }

    /** One kind of operation, some at a time, on the queue's own loop. */
    private static final class Load {
        static final int DISCARD = 0;
        static final int SECURE_DISCARD = 1;
        static final int ZEROES = 2;

        private final EventLoop loop;
        private final DiskQueue queue;
        private final int kind;
        private final int expected;
        private final Completion done = this::onDone;
        private int left;
        private int running;
        private int failures;
        private CountDownLatch ended = new CountDownLatch(0);

        Load(EventLoop loop, DiskQueue queue, int kind, int expected) {
            this.loop = loop;
            this.queue = queue;
            this.kind = kind;
            this.expected = expected;
        }

        void run() throws InterruptedException {
            ended = new CountDownLatch(1);
            loop.execute(() -> {
                left = OPERATIONS;
                for (int i = 0; i < DEPTH; i++) {
                    start(i);
                }
            });
            assertThat(ended.await(60, TimeUnit.SECONDS))
                    .as("%d operations left", left)
                    .isTrue();
        }

        private void start(int index) {
            left--;
            running++;
            long offset = 4096L * (left * 7 & 127);
            switch (kind) {
                case DISCARD -> queue.discard(offset, 8192, false, done, index);
                case SECURE_DISCARD -> queue.discard(offset, 8192, true, done, index);
                default -> queue.writeZeroes(offset, 8192, false, done, index);
            }
        }

        private void onDone(int index, int result) {
            running--;
            failures += result == expected ? 0 : 1;
            if (left > 0) {
                start(index);
            } else if (running == 0) {
                ended.countDown();
            }
        }
    }
}
