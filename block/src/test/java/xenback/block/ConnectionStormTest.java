package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.block.backend.BlockOptions;
import xenback.block.disk.DiskSource;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.xen.embedded.Domain;
import xenback.xen.io.EventLoop;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.io.LoopSource;

/**
 * Guests that connect and disconnect as fast as they can, ten thousand times, with requests in flight each time. So often
 * that what a session leaves is seen whatever it is: a descriptor, a thread or a page of each would be thousands, and of
 * native memory a kilobyte is beyond what the JVM itself comes and goes by. Every fourth session has a loop of its own, as on a
 * host; the others share one.
 */
class ConnectionStormTest {
    private static final int XVDA = 51712;
    private static final int GUESTS = 4;
    private static final int CYCLES = 10_000;

    /** The first ones open what stays, and the compilers do most of their work. */
    private static final int FIRST_CYCLES = 2_000;

    private static final long SLACK_BYTES = 8 << 20;

    @TempDir
    private Path dir;

    private final List<Domain> guests = new ArrayList<>();
    private final List<HostileFrontend> frontends = new ArrayList<>();

    @Test
    void tenThousandConnectionsWithRequestsInFlightLeaveNothing() throws Exception {
        AtomicInteger sessions = new AtomicInteger();
        LoopSource own = LoopSource.own(Engine.URING);
        try (LogRecords log = new LogRecords();
                EventLoop shared = EventLoop.start("shared", Engine.URING);
                Machine machine = new Machine(
                        dir,
                        Engine.URING,
                        BlockOptions.usual(),
                        DiskSource.TARGETS,
                        (name, queue) -> sessions.incrementAndGet() % 4 == 0
                                ? own.take(name, queue)
                                : new LoopSource.Lease(shared, true));
                ExecutorService threads = Executors.newFixedThreadPool(GUESTS)) {
            for (int domid = 1; domid <= GUESTS; domid++) {
                Path image = Machine.image(dir.resolve("disk" + domid), 1 << 20);
                guests.add(machine.guest(domid));
                Abi abi = domid % 2 == 0 ? Abi.X86_64 : Abi.X86_32;
                frontends.add(new HostileFrontend(machine, guests.getLast(), XVDA, image, "w", abi));
            }

            cycle(machine, threads, FIRST_CYCLES / GUESTS);
            seeThatNothingIsLeft(machine);
            Holding holding = Holding.now();
            long malloced = MallocedMemory.bytes();
            cycle(machine, threads, (CYCLES - FIRST_CYCLES) / GUESTS);
            seeThatNothingIsLeft(machine);

            Await.until(() -> Holding.now().equals(holding), () -> Holding.now() + ", expected " + holding);
            Await.until(
                    () -> MallocedMemory.bytes() < malloced + SLACK_BYTES,
                    () -> MallocedMemory.bytes() - malloced + " bytes more than before");
            for (HostileFrontend frontend : frontends) {
                frontend.connect();
                assertThat(frontend.works()).isTrue();
                frontend.close();
            }
            assertThat(log.faults()).isEmpty();
        }
    }

    private void cycle(Machine machine, ExecutorService threads, int timesEach) throws Exception {
        List<Future<?>> running = new ArrayList<>();
        for (HostileFrontend frontend : frontends) {
            running.add(threads.submit(() -> {
                for (int i = 0; i < timesEach; i++) {
                    machine.events.clear(); // a list for tests that are short
                    frontend.connect();
                    for (int request = i % HostileFrontend.SLOTS; request > 0; request--) {
                        int operation = request % 2 == 0 ? Blkif.OP_READ : Blkif.OP_WRITE;
                        frontend.send(frontend.request(operation, 8L * request));
                    }
                    frontend.restart(); // takes every grant back, which fails if one is in use
                }
                return null;
            }));
        }
        for (Future<?> each : running) {
            each.get();
        }
    }

    private void seeThatNothingIsLeft(Machine machine) {
        assertThat(guests).allSatisfy(guest -> {
            assertThat(guest.pinnedGrants()).isZero();
            assertThat(guest.openPorts()).isZero();
            assertThat(guest.allocatedPages()).isZero();
        });
        assertThat(machine.xen.domain0().mappedGrants()).isZero();
        assertThat(machine.xen.domain0().openPorts()).isZero();
    }
}
