package xenback.xen.bus;

import java.util.List;
import java.util.function.Function;
import java.util.logging.Level;
import java.util.logging.Logger;
import xenback.sequence.Sequences;

/**
 * The whole life of a device, in random order: what the toolstack, the guest, the store and the backend's own process may do
 * to it at any moment, between any two calls to the store. The rules are those of {@link LifeWorld}: calls to the driver in
 * order, no removed directory that comes back, 2 as long as libxl needs it, 6 with nothing held, and, when the storm is over,
 * what the store says is done and an orderly guest is served.
 */
public final class LifeModel {
    /** Makes the device of a world. */
    @FunctionalInterface
    public interface Source {
        LifeDevice make() throws Exception;
    }

    /** Draws a step of the device's own. */
    @FunctionalInterface
    public interface Drawing {
        LifeDevice.Step draw(java.util.Random random);
    }

    private final Class<?> test;
    private final Source source;
    private Sequences.Source<LifeStep> steps = LifeStep::draw;

    private LifeModel(Class<?> test, Source source) {
        this.test = test;
        this.source = source;
    }

    /** A model for a test, which is named to whoever has to repeat a sequence. */
    public static LifeModel of(Class<?> test, Source source) {
        return new LifeModel(test, source);
    }

    /** One step of five is the device's own, some of them between two calls of a program to the store. */
    public LifeModel with(Drawing own) {
        steps = random -> random.nextInt(5) == 0
                ? LifeStep.perhapsAmid(random, new LifeStep.OfDevice(own.draw(random)))
                : LifeStep.draw(random);
        return this;
    }

    /** Plays so many sequences of at most so many steps. What goes wrong in them goes wrong on purpose and is not logged. */
    public void check(int sequences, int longest) {
        Logger logger = Logger.getLogger("xenback");
        Level level = logger.getLevel();
        logger.setLevel(Level.OFF);
        try {
            Sequences.of(test, steps)
                    .count(sequences)
                    .longest(longest)
                    .simpler((Function<LifeStep, List<LifeStep>>) LifeStep::simpler)
                    .check(this::play);
        } finally {
            logger.setLevel(level);
        }
    }

    private void play(List<LifeStep> sequence) throws Exception {
        try (LifeDevice device = source.make()) {
            new LifeWorld(device).play(sequence);
        }
    }
}
