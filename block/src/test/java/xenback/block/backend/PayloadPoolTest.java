package xenback.block.backend;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;

class PayloadPoolTest {
    private record Run(int first, int count) {}

    @RepeatedTest(20)
    void givesTheLowestRunThatFitsAndNoPageTwice(RepetitionInfo repetition) throws Exception {
        long seed = repetition.getCurrentRepetition();
        Random random = new Random(seed);
        int pages = 1 + random.nextInt(400);
        try (Arena arena = Arena.ofConfined()) {
            PayloadPool pool = new PayloadPool(pages, arena);
            BitSet used = new BitSet();
            List<Run> runs = new ArrayList<>();
            for (int step = 0; step < 3000; step++) {
                if (runs.isEmpty() || random.nextInt(100) < 55) {
                    int count = 1 + random.nextInt(random.nextBoolean() ? 4 : 90);
                    int first = pool.take(count);
                    assertThat(first).as("seed %d step %d", seed, step).isEqualTo(lowest(used, count, pages));
                    if (first != PayloadPool.NONE) {
                        used.set(first, first + count);
                        runs.add(new Run(first, count));
                    }
                } else {
                    Run run = runs.remove(random.nextInt(runs.size()));
                    pool.give(run.first(), run.count());
                    used.clear(run.first(), run.first() + run.count());
                }
            }
        }
    }

    private static int lowest(BitSet used, int count, int pages) {
        for (int first = 0; first + count <= pages; first++) {
            int next = used.nextSetBit(first);
            if (next < 0 || next >= first + count) {
                return first;
            }
        }
        return PayloadPool.NONE;
    }

    @Test
    void holdsExactlyItsPages() throws Exception {
        try (Arena arena = Arena.ofConfined()) {
            PayloadPool pool = new PayloadPool(256, arena);
            assertThat(pool.memory().byteSize()).isEqualTo(256 * 4096);
            assertThat(pool.take(257)).isEqualTo(PayloadPool.NONE);
            assertThat(pool.take(256)).isZero();
            assertThat(pool.take(1)).isEqualTo(PayloadPool.NONE);
            pool.give(0, 256);
            assertThat(pool.take(1)).isZero();
        }
    }
}
