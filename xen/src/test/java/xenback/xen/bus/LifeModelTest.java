package xenback.xen.bus;

import java.util.logging.Level;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import xenback.sequence.Sequences;

/**
 * The whole life of a device, in random order: what the toolstack, the guest, the store and the backend's own process may do
 * to it at any moment, between any two calls to the store. The rules are those of {@link LifeWorld}: calls to the driver in
 * order, no removed directory that comes back, 2 as long as libxl needs it, 6 with nothing held, and, when the storm is over,
 * what the store says is done and an orderly guest is served.
 */
class LifeModelTest {
    private final Logger logger = Logger.getLogger("xenback");
    private final Level level = logger.getLevel();

    /** What goes wrong here goes wrong thousands of times, and each time on purpose. */
    @BeforeEach
    void silence() {
        logger.setLevel(Level.OFF);
    }

    @AfterEach
    void restore() {
        logger.setLevel(level);
    }

    @Test
    void comesThroughWhateverHappensAndServesAgain() {
        Sequences.of(LifeModelTest.class, LifeStep::draw)
                .count(6_000)
                .longest(60)
                .simpler(LifeStep::simpler)
                .check(steps -> new LifeWorld().play(steps));
    }
}
