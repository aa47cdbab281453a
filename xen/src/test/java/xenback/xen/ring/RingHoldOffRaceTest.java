package xenback.xen.ring;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;

/**
 * The race that the full fences of push and rearm decide: one end publishes while the other goes to sleep. Of the four
 * outcomes one is forbidden, that the producer sees nobody waiting and the consumer sees nothing new; it shows within some
 * ten thousand rounds when a fence is left out. Both threads start each round together.
 */
class RingHoldOffRaceTest {
    private static final int ROUNDS = 50_000;

    @Test
    void aRequestIsEitherNotifiedOrFound() throws InterruptedException {
        try (Arena arena = Arena.ofShared()) {
            SharedRing ring = new SharedRing(arena, 1, -ROUNDS / 2);
            race(() -> ring.putRequest(1), () -> ring.front.push(), () -> ring.back.rearm(), () -> {
                ring.back.beginSweep();
                ring.takeRequest();
                ring.putResponse(1);
                ring.back.push();
                ring.front.beginSweep();
                ring.takeResponse();
            });
        }
    }

    @Test
    void aResponseIsEitherNotifiedOrFound() throws InterruptedException {
        try (Arena arena = Arena.ofShared()) {
            SharedRing ring = new SharedRing(arena, 1, -ROUNDS / 2);
            race(
                    () -> {
                        ring.putRequest(1);
                        ring.front.push();
                        ring.back.beginSweep();
                        ring.takeRequest();
                        ring.putResponse(1);
                    },
                    () -> ring.back.push(),
                    () -> ring.front.rearm(),
                    () -> {
                        ring.front.beginSweep();
                        ring.takeResponse();
                    });
        }
    }

    private static void race(Runnable before, BooleanSupplier publish, BooleanSupplier sleep, Runnable after)
            throws InterruptedException {
        AtomicInteger started = new AtomicInteger();
        AtomicInteger ended = new AtomicInteger();
        boolean[] found = new boolean[1];
        Thread consumer = Thread.ofPlatform().daemon().start(() -> {
            for (int round = 1; round <= ROUNDS; round++) {
                awaitAtLeast(started, round);
                found[0] = sleep.getAsBoolean();
                ended.setRelease(round);
            }
        });
        int forbidden = 0;
        for (int round = 1; round <= ROUNDS && forbidden == 0; round++) {
            before.run();
            started.setRelease(round);
            for (int i = round % 64; i > 0; i--) {
                Thread.onSpinWait(); // the other thread needs a moment to see the start: try every distance
            }
            boolean notified = publish.getAsBoolean();
            awaitAtLeast(ended, round);
            forbidden += !notified && !found[0] ? 1 : 0;
            after.run();
        }
        started.setRelease(ROUNDS);
        consumer.join();
        assertThat(forbidden)
                .as("rounds in which both ends overlooked each other")
                .isZero();
    }

    private static void awaitAtLeast(AtomicInteger counter, int round) {
        for (int spins = 1; counter.getAcquire() < round; spins++) {
            if (spins % 1000 == 0) {
                LockSupport.parkNanos(1); // on a busy machine the other thread may not be running at all
            } else {
                Thread.onSpinWait();
            }
        }
    }
}
