package xenback.sequence;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Function;

/**
 * Random sequences of steps, each played in a world of its own until one shows a fault. That one is cut down to the steps that
 * it needs, each as simple as it can be, and told with the command that repeats it. Seeds count from 1, so that a build plays
 * the same sequences each time; {@code -Dxenback.seed=N} plays one of them, {@code -Dxenback.sequences=N} more or fewer.
 *
 * <p>A step holds all that was drawn for it. A world must be deterministic, and a step that makes no sense where it stands
 * must do nothing, because steps before it are left out on trial.
 *
 * @param <S> a step; its text is what a person reads of a fault
 */
public final class Sequences<S> {
    /** Draws one step. */
    @FunctionalInterface
    public interface Source<S> {
        S next(Random random);
    }

    /** Plays steps in a fresh world. Whatever it throws is a fault. */
    @FunctionalInterface
    public interface Trial<S> {
        void play(List<S> steps) throws Exception;
    }

    /** What cutting down may cost; the sequence found by then is told. */
    private static final int MOST_TRIALS = 20_000;

    private final Class<?> test;
    private final Source<S> source;
    private int count = 1000;
    private int longest = 50;
    private Function<S, List<S>> simpler = step -> List.of();
    private int trialsLeft = MOST_TRIALS;

    private Sequences(Class<?> test, Source<S> source) {
        this.test = test;
        this.source = source;
    }

    /** Sequences for a test, which is named to whoever has to repeat one. */
    public static <S> Sequences<S> of(Class<?> test, Source<S> source) {
        return new Sequences<>(test, source);
    }

    /** How many sequences are played if nobody asks for another number. */
    public Sequences<S> count(int sequences) {
        count = sequences;
        return this;
    }

    /** The longest has so many steps. */
    public Sequences<S> longest(int steps) {
        longest = steps;
        return this;
    }

    /** Steps that are worth a trial in the place of one, the simplest first; never one that is not simpler. */
    public Sequences<S> simpler(Function<S, List<S>> than) {
        simpler = than;
        return this;
    }

    /** Plays them all. Throws an AssertionError with the shortest sequence found for the first fault. */
    public void check(Trial<S> trial) {
        Long only = Long.getLong("xenback.seed");
        if (only != null) {
            check(trial, only);
            return;
        }
        int sequences = Integer.getInteger("xenback.sequences", count);
        for (long seed = 1; seed <= sequences; seed++) {
            check(trial, seed);
        }
    }

    private void check(Trial<S> trial, long seed) {
        List<S> steps = draw(seed);
        Throwable fault = fault(trial, steps);
        if (fault == null) {
            return;
        }
        trialsLeft = MOST_TRIALS;
        List<S> shortest = shorten(trial, steps);
        Throwable last = fault(trial, shortest);
        throw new AssertionError(describe(seed, steps.size(), shortest, last == null ? fault : last), last);
    }

    private List<S> draw(long seed) {
        Random random = new Random(seed);
        int length = 1 + random.nextInt(longest);
        List<S> steps = new ArrayList<>();
        for (int i = 0; i < length; i++) {
            steps.add(source.next(random));
        }
        return steps;
    }

    private String describe(long seed, int length, List<S> steps, Throwable fault) {
        StringBuilder text = new StringBuilder()
                .append(fault instanceof AssertionError ? String.valueOf(fault.getMessage()) : fault.toString())
                .append("\nafter ")
                .append(steps.size())
                .append(" of the ")
                .append(length)
                .append(" steps of seed ")
                .append(seed)
                .append(":\n");
        for (S step : steps) {
            text.append("    ").append(step).append('\n');
        }
        return text.append("to repeat: ./dev test ")
                .append(test.getSimpleName())
                .append(" -Dxenback.seed=")
                .append(seed)
                .toString();
    }

    private Throwable fault(Trial<S> trial, List<S> steps) {
        try {
            trial.play(List.copyOf(steps));
            return null;
        } catch (Exception | AssertionError e) {
            return e;
        }
    }

    private boolean fails(Trial<S> trial, List<S> steps) {
        return trialsLeft-- > 0 && fault(trial, steps) != null;
    }

    /** Leaves out and simplifies until nothing more can be without losing the fault. */
    private List<S> shorten(Trial<S> trial, List<S> failing) {
        List<S> steps = failing;
        boolean better = true;
        while (better && trialsLeft > 0) {
            int before = steps.size();
            for (int length = Math.max(1, steps.size() / 2); length >= 1; length /= 2) {
                steps = withoutRuns(trial, steps, length);
            }
            List<S> simplified = simplified(trial, steps);
            better = steps.size() < before || !simplified.equals(steps);
            steps = simplified;
        }
        return steps;
    }

    /** Leaves out runs of that many steps wherever the fault stays, from the end, where less depends on them. */
    private List<S> withoutRuns(Trial<S> trial, List<S> from, int length) {
        List<S> steps = from;
        for (int at = steps.size() - length; at >= 0; at -= length) {
            List<S> rest = new ArrayList<>(steps.subList(0, at));
            rest.addAll(steps.subList(Math.min(at + length, steps.size()), steps.size()));
            if (fails(trial, rest)) {
                steps = rest;
            }
        }
        return steps;
    }

    private List<S> simplified(Trial<S> trial, List<S> from) {
        List<S> steps = new ArrayList<>(from);
        for (int at = 0; at < steps.size(); at++) {
            S original = steps.get(at);
            for (S candidate : simpler.apply(original)) {
                steps.set(at, candidate);
                if (fails(trial, steps)) {
                    break;
                }
                steps.set(at, original);
            }
        }
        return steps;
    }
}
