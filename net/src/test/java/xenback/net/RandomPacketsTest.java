package xenback.net;

import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A hundred thousand {@linkplain RandomTraffic random packets}, the checksums judged by tshark. */
class RandomPacketsTest {
    private static final int PACKETS = Integer.getInteger("xenback.packets", 100_000);

    @TempDir
    private Path dir;

    @Test
    void randomPacketsArriveAsTheyWereSent() throws Exception {
        long seed = Long.getLong("xenback.seed", System.nanoTime());
        System.out.println("repeat with ./dev test RandomPacketsTest -Dxenback.seed=" + seed);
        try (Crossover cable = Crossover.bridged(dir)) {
            new RandomTraffic(60_000, 9000, dir).run(cable, PACKETS, new Random(seed));
        }
    }
}
