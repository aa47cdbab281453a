package xenback.net.link;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

/** A queue from many threads to one. */
final class FrameRingTest {
    @Test
    void refusesWhatIsTooLargeAndWhatHasNoRoom() {
        FrameRing ring = new FrameRing(64);
        assertThat(ring.claim(25)).isNegative();
        assertThat(ring.claim(24)).isEqualTo(8);
        assertThat(ring.claim(24)).isEqualTo(40);
        assertThat(ring.claim(0)).isNegative();
    }

    @Test
    void showsARecordOnceItIsCommitted() {
        FrameRing ring = new FrameRing(64);
        long first = ring.claim(5);
        long second = ring.claim(3);
        ring.commit(second, 3);
        assertThat(ring.next()).as("the first is not written yet").isNegative();
        ring.commit(first, 5);
        assertThat(ring.next()).isEqualTo(first);
        assertThat(ring.bytes(first)).isEqualTo(5);
        ring.release(first);
        assertThat(ring.next()).isEqualTo(second);
        ring.release(second);
        assertThat(ring.next()).isNegative();
    }

    @Test
    void keepsRecordsInOnePieceAtTheEndOfTheMemory() {
        FrameRing ring = new FrameRing(64);
        for (int i = 0; i < 100; i++) {
            int bytes = i % 17;
            long at = ring.claim(bytes);
            assertThat(at + bytes).isBetween(8L, 64L);
            ring.commit(at, bytes);
            assertThat(ring.next()).isEqualTo(at);
            assertThat(ring.bytes(at)).isEqualTo(bytes);
            ring.release(at);
        }
    }

    @Test
    void givesAWordToWhoeverWaits() {
        FrameRing ring = new FrameRing(64);
        assertThat(ring.rearm()).isTrue();
        long at = ring.claim(1);
        assertThat(ring.commit(at, 1)).isTrue();
        assertThat(ring.rearm()).as("there is one").isFalse();
        long other = ring.claim(1);
        assertThat(ring.commit(other, 1)).as("nobody waits").isFalse();
    }

    @Test
    void losesAndMixesNothingBetweenThreads() throws Exception {
        int producers = 3;
        int records = 20_000;
        FrameRing ring = new FrameRing(4096);
        Thread consumer = Thread.currentThread();
        List<Thread> threads = new ArrayList<>();
        for (int producer = 0; producer < producers; producer++) {
            int own = producer;
            threads.add(Thread.ofPlatform().start(() -> {
                SplittableRandom random = new SplittableRandom(own);
                for (int i = 0; i < records; i++) {
                    int words = 2 + random.nextInt(60);
                    long at = ring.claim(words * 4);
                    while (at < 0) {
                        Thread.onSpinWait();
                        at = ring.claim(words * 4);
                    }
                    ring.memory().set(ValueLayout.JAVA_INT, at, own);
                    for (int word = 1; word < words; word++) {
                        ring.memory().set(ValueLayout.JAVA_INT, at + word * 4L, i);
                    }
                    if (ring.commit(at, words * 4)) {
                        LockSupport.unpark(consumer);
                    }
                }
            }));
        }
        int[] expected = new int[producers];
        SplittableRandom[] sizes = {new SplittableRandom(0), new SplittableRandom(1), new SplittableRandom(2)};
        for (int got = 0; got < producers * records; ) {
            long at = ring.next();
            if (at < 0) {
                if (ring.rearm()) {
                    LockSupport.park(ring);
                }
                continue;
            }
            int from = ring.memory().get(ValueLayout.JAVA_INT, at);
            int words = 2 + sizes[from].nextInt(60);
            if (ring.bytes(at) != words * 4) {
                throw new AssertionError("size of " + expected[from] + " of " + from);
            }
            for (int word = 1; word < words; word++) {
                if (ring.memory().get(ValueLayout.JAVA_INT, at + word * 4L) != expected[from]) {
                    throw new AssertionError("bytes of " + expected[from] + " of " + from);
                }
            }
            expected[from]++;
            ring.release(at);
            got++;
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertThat(ring.next()).isNegative();
    }
}
