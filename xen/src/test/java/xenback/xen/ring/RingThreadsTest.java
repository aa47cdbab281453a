package xenback.xen.ring;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Two threads, one ring, real sleeping: each end sleeps when it has re-armed and found nothing, and is woken only by a
 * notification that the hold-off asked for. A lost wake-up shows as an end that is never woken again.
 */
class RingThreadsTest {
    private static final int REQUESTS = 60_000;

    private final Semaphore backendEvent = new Semaphore(0);
    private final Semaphore frontendEvent = new Semaphore(0);

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void losesNoRequestNoResponseAndNoWakeUp(long seed)
            throws InterruptedException, ExecutionException, TimeoutException {
        try (Arena arena = Arena.ofShared()) {
            int start = -REQUESTS / 2; // wraps in the middle
            SharedRing ring = new SharedRing(arena, 1, start);
            CompletableFuture<Long> backend = new CompletableFuture<>();
            Thread thread = Thread.ofPlatform().start(() -> run(backend, () -> serve(arena, ring, seed)));
            CompletableFuture<Long> frontend = new CompletableFuture<>();
            run(frontend, () -> produce(ring, seed));
            thread.join(20_000);
            assertThat(frontend.get(1, TimeUnit.SECONDS)).as("seed %d", seed).isEqualTo(REQUESTS);
            assertThat(backend.get(1, TimeUnit.SECONDS)).as("seed %d", seed).isEqualTo(REQUESTS);
        }
    }

    private interface Side {
        long run() throws InterruptedException;
    }

    private static void run(CompletableFuture<Long> result, Side side) {
        try {
            result.complete(side.run());
        } catch (Throwable e) {
            result.completeExceptionally(e);
        }
    }

    private long produce(SharedRing ring, long seed) throws InterruptedException {
        Random random = new Random(seed);
        long put = 0;
        long heard = 0;
        while (heard < REQUESTS) {
            for (int n = 1 + random.nextInt(40); n > 0 && ring.front.free() > 0 && put < REQUESTS; n--) {
                ring.putRequest(put++);
            }
            if (ring.front.push()) {
                backendEvent.release();
            }
            heard += hear(ring);
            if (heard < put && (ring.front.free() == 0 || put == REQUESTS) && !ring.front.rearm()) {
                await(frontendEvent, "frontend at " + ring.front);
            }
        }
        return heard;
    }

    private static long hear(SharedRing ring) {
        assertThat(ring.front.beginSweep()).isTrue();
        long heard = 0;
        while (ring.takeResponse() != -1) {
            heard++;
        }
        return heard;
    }

    private long serve(Arena arena, SharedRing shared, long seed) throws InterruptedException {
        java.lang.foreign.MemorySegment copy = arena.allocate(SharedRing.SLOT_BYTES, 8);
        Random random = new Random(~seed);
        BackRing back = shared.back;
        long taken = 0;
        while (taken < REQUESTS) {
            do {
                assertThat(back.beginSweep()).isTrue();
                while (back.takeRequest(copy)) {
                    assertThat(copy.get(java.lang.foreign.ValueLayout.JAVA_LONG, 0))
                            .isEqualTo(taken++);
                    back.putResponse(copy, 16);
                    if (random.nextInt(8) == 0) {
                        pushResponses(back);
                    }
                }
                pushResponses(back);
            } while (back.rearm());
            if (taken < REQUESTS) {
                await(backendEvent, "backend at " + back);
            }
        }
        return taken;
    }

    private void pushResponses(BackRing back) {
        if (back.push()) {
            frontendEvent.release();
        }
    }

    /** An event is one bit: however many were sent, one wake-up takes them all. */
    private static void await(Semaphore event, String who) throws InterruptedException {
        assertThat(event.tryAcquire(10, TimeUnit.SECONDS))
                .as("%s is never woken", who)
                .isTrue();
        event.drainPermits();
    }
}
