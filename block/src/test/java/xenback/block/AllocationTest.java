package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import xenback.block.backend.BlockOptions;
import xenback.block.frontend.Xbd;
import xenback.block.frontend.XbdOptions;
import xenback.block.protocol.Abi;
import xenback.xen.embedded.Domain;
import xenback.xen.io.EventLoop.Engine;

/** A request costs no garbage, neither in xbdback nor in xbd: the collector has nothing to do with a guest's I/O. */
class AllocationTest {
    private static final int REQUESTS = 20_000;

    /**
     * Rounds until one is clean. The first ones run interpreted, where the linker makes a slice per system call; what is
     * compiled makes none. What the code itself allocates per request, or per thousand, stays in every round.
     */
    private static final int ROUNDS = 40;

    private static final double LIMIT_BYTES_PER_REQUEST = 0.1;

    @TempDir
    private Path dir;

    /** What a frontend uses of blkif, and how many pages its requests have. */
    enum Features {
        PLAIN(1, new XbdOptions(Abi.X86_64, 0, false, 1, 0, false, false)),
        PERSISTENT(1, new XbdOptions(Abi.X86_64, 0, false, 1, 0, true, false)),
        INDIRECT(16, new XbdOptions(Abi.X86_64, 0, false, 1, 32, false, false)),
        MULTI_PAGE(1, new XbdOptions(Abi.X86_64, 2, false, 1, 0, false, false)),
        MULTI_QUEUE(1, new XbdOptions(Abi.X86_64, 0, false, 2, 0, false, false)),
        ALL(16, new XbdOptions(Abi.X86_64, 2, false, 2, 32, true, false));

        private final int pages;
        private final XbdOptions options;

        Features(int pages, XbdOptions options) {
            this.pages = pages;
            this.options = options;
        }
    }

    static Stream<Arguments> enginesAndFeatures() {
        return Stream.of(Engine.URING, Engine.THREADS)
                .flatMap(engine -> Stream.of(Features.values()).map(features -> Arguments.of(engine, features)));
    }

    @ParameterizedTest
    @MethodSource("enginesAndFeatures")
    void requestsAllocateNothing(Engine engine, Features features) throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), 16 << 20);
        XbdOptions options = features.options;
        try (Machine machine = new Machine(dir, engine, new BlockOptions(4, 2, 32, true, false, false));
                Arena arena = Arena.ofShared()) {
            Domain guest = machine.xen.createDomain(1, options.guestPages());
            machine.toolstack.createHome(1, "guest1");
            Xbd xbd = machine.startXbd(guest, machine.toolstack.attach(Machine.vbd(1, 51712, image, "w")), options);
            assertThat(xbd.queueCount()).isEqualTo(options.queues());
            List<GuestLoad> loads = new ArrayList<>();
            for (int i = 0; i < options.queues(); i++) {
                loads.add(new GuestLoad(xbd, features.pages, arena));
            }
            List<String> rounds = new ArrayList<>();
            boolean clean = false;
            while (!clean && rounds.size() < ROUNDS) {
                long backendBefore = allocatedBytes("xbdback1i51712");
                long frontendBefore = allocatedBytes("xbd0");
                for (GuestLoad load : loads) {
                    load.begin(REQUESTS / loads.size());
                }
                for (GuestLoad load : loads) {
                    load.awaitEnd();
                }
                double backendBytes = (allocatedBytes("xbdback1i51712") - backendBefore) / (double) REQUESTS;
                double frontendBytes = (allocatedBytes("xbd0") - frontendBefore) / (double) REQUESTS;
                rounds.add("xbdback " + backendBytes + ", xbd " + frontendBytes);
                clean = backendBytes < LIMIT_BYTES_PER_REQUEST && frontendBytes < LIMIT_BYTES_PER_REQUEST;
            }

            assertThat(loads).allMatch(load -> load.failures() == 0);
            assertThat(machine.backend().devices().getFirst().counters().indirect() > 0)
                    .isEqualTo(features.pages > 11);
            assertThat(clean)
                    .as("bytes per request, round by round: %s", rounds)
                    .isTrue();
        }
    }

    /** Of all threads of one end. */
    private static long allocatedBytes(String prefix) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith(prefix))
                .mapToLong(thread -> threads.getThreadAllocatedBytes(thread.threadId()))
                .sum();
    }
}
