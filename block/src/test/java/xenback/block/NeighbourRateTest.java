package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.block.backend.BlockOptions;
import xenback.block.disk.DiskSource;
import xenback.block.frontend.Xbd;
import xenback.block.frontend.XbdOptions;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifRequest;
import xenback.xen.io.EventLoop;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.io.LoopSource;
import xenback.xen.store.StorePath;

/**
 * One guest storms with events and bad requests, and another's disk goes on with at least half of its rate, though both are served
 * by one thread. No clock tells: what that thread does for the hostile guest while the neighbour has a request served is counted,
 * in requests, and the processor time that it takes for one of the neighbour's requests, with and without the storm, is compared.
 * The hostile guest's processor is that thread too, so that a busy machine cannot hold up the storm.
 */
class NeighbourRateTest {
    private static final int XVDA = 51712;
    private static final int ROUNDS = 15;
    private static final int REQUESTS_PER_ROUND = 2_000;

    /** Series until one is good: compilers and caches spoil one, a backend that is at fault all. */
    private static final int SERIES = 5;

    @TempDir
    private Path dir;

    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    @Test
    void aStormOfEventsAndBadRequestsLeavesTheNeighbourHalfOfItsRate() throws Exception {
        try (LogRecords log = new LogRecords();
                Arena arena = Arena.ofShared();
                EventLoop loop = EventLoop.start("shared", Engine.URING);
                Machine machine = new Machine(
                        dir,
                        Engine.URING,
                        BlockOptions.usual(),
                        DiskSource.TARGETS,
                        (name, queue) -> new LoopSource.Lease(loop, true))) {
            Path image = Machine.image(dir.resolve("hostile.img"), 1 << 20);
            HostileFrontend hostile = new HostileFrontend(machine, machine.guest(1), XVDA, image, "w", Abi.X86_64);
            hostile.connect();
            Storm storm = new Storm(loop, hostile);
            Path own = Machine.image(dir.resolve("neighbour.img"), 1 << 20);
            StorePath neighbour = machine.toolstack.attach(Machine.vbd(2, XVDA, own, "w"));
            try (Xbd xbd = Xbd.start("xbd", machine.guest(2), neighbour, XbdOptions.plain(Abi.NATIVE), List.of(loop))) {
                GuestLoad load = new GuestLoad(xbd, 1, arena);
                load.run(10 * REQUESTS_PER_ROUND);

                List<Double> medians = new ArrayList<>();
                while (medians.size() < SERIES && (medians.isEmpty() || medians.getLast() > 2)) {
                    medians.add(medianRatio(load, storm));
                }

                assertThat(medians.getLast())
                        .as("processor time in the storm, in parts of that without, series by series: %s", medians)
                        .isLessThanOrEqualTo(2);
                assertThat(load.failures()).isZero();
                assertThat(hostile.works()).isTrue();
            }
            hostile.close();
            assertThat(log.faults()).isEmpty();
            assertThat(log.lines()).hasSizeLessThan(100);
        }
    }

    private double medianRatio(GuestLoad load, Storm storm) throws Exception {
        List<Double> ratios = new ArrayList<>();
        for (int round = 0; round < ROUNDS; round++) {
            long quiet = cpuNanos(load, storm.thread);
            long badBefore = storm.begin();
            long inStorm = cpuNanos(load, storm.thread);
            long bad = storm.end() - badBefore;
            ratios.add((double) inStorm / quiet);
            assertThat(bad)
                    .as("bad requests taken while the neighbour had %d served", REQUESTS_PER_ROUND)
                    .isBetween((long) REQUESTS_PER_ROUND, (long) REQUESTS_PER_ROUND * HostileFrontend.SLOTS);
        }
        ratios.sort(null);
        return ratios.get(ROUNDS / 2);
    }

    /** Processor time that both guests' thread uses up while the neighbour has a round's requests served. */
    private long cpuNanos(GuestLoad load, long thread) throws InterruptedException {
        long before = threads.getThreadCpuTime(thread);
        load.run(REQUESTS_PER_ROUND);
        return threads.getThreadCpuTime(thread) - before;
    }

    /** The hostile guest's processor: in each turn an event and, as soon as the ring has room, as many bad requests as it holds. */
    private static final class Storm extends EventLoop.TurnEnd {
        private final EventLoop loop;
        private final HostileFrontend hostile;
        private final BlkifRequest[] nonsense = new BlkifRequest[HostileFrontend.SLOTS];
        final long thread;
        private boolean storming;

        Storm(EventLoop loop, HostileFrontend hostile) throws Exception {
            this.loop = loop;
            this.hostile = hostile;
            thread = loop.call(() -> Thread.currentThread().threadId());
            for (int i = 0; i < nonsense.length; i++) {
                nonsense[i] = new BlkifRequest();
                nonsense[i].compose(i % 2 == 0 ? 0xEE : Blkif.OP_WRITE, i, Long.MAX_VALUE / 512);
                nonsense[i].addSegment(31_000, 0, 7);
            }
        }

        /** Returns how many of the hostile guest's requests the backend has taken. */
        long begin() throws Exception {
            return loop.call(() -> {
                storming = true;
                loop.atTurnEnd(this);
                return hostile.counters().requests();
            });
        }

        /** Returns the same as {@link #begin}; the ring is empty then. */
        long end() throws Exception {
            long taken = loop.call(() -> {
                storming = false;
                return hostile.counters().requests();
            });
            hostile.awaitAnswers();
            return taken;
        }

        @Override
        protected void endTurn() {
            if (!storming) {
                return;
            }
            if (hostile.rspProd() == hostile.reqProd()) {
                hostile.sendTogether(nonsense);
            }
            hostile.notifyBackend();
            loop.atNextTurn(this);
        }
    }
}
