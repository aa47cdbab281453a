package xenback.xen.bus;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/** Control threads without threads: a test takes their turns, and time passes when the test says so. */
final class SteppedPace implements Control.Pace {
    /** What all processes of a test read the time from. Starts shortly before the number wraps, as it may. */
    static final class Clock {
        private long nowNanos = Long.MAX_VALUE - 1_500_000_000L;

        long nanoTime() {
            return nowNanos;
        }

        void advance(long nanos) {
            nowNanos += nanos;
        }
    }

    private final Clock clock;

    /** Of each control, when it is due without news, if at all. */
    private final Map<Control, OptionalLong> running = new LinkedHashMap<>();

    SteppedPace(Clock clock) {
        this.clock = clock;
    }

    @Override
    public long nanoTime() {
        return clock.nanoTime();
    }

    @Override
    public void start(Control control) {
        running.put(control, OptionalLong.empty());
    }

    @Override
    public void awaitEnd(Control control) {
        while (running.containsKey(control)) {
            turn(control);
        }
    }

    /** The controls that would take a turn now. */
    List<Control> ready() {
        List<Control> ready = new ArrayList<>();
        running.forEach((control, due) -> {
            if (control.hasNews() || due.isPresent() && due.getAsLong() - nanoTime() <= 0) {
                ready.add(control);
            }
        });
        return ready;
    }

    /** Nanoseconds until the next control is due, if any is; never less than 1. */
    OptionalLong nanosToNext() {
        return running.values().stream()
                .flatMapToLong(OptionalLong::stream)
                .map(due -> Math.max(1, due - nanoTime()))
                .min();
    }

    void turn(Control control) {
        if (control.turn()) {
            long nanos = control.alarmNanos();
            running.put(
                    control, nanos == Control.NO_ALARM ? OptionalLong.empty() : OptionalLong.of(nanoTime() + nanos));
        } else {
            running.remove(control);
        }
    }

    /** Takes turns until nobody wants one. Returns how many; more than {@code bound} is an error of whoever never rests. */
    int rest(int bound) {
        int turns = 0;
        for (List<Control> ready = ready(); !ready.isEmpty(); ready = ready()) {
            if (turns++ > bound) {
                throw new AssertionError("no rest within " + bound + " turns");
            }
            turn(ready.getFirst());
        }
        return turns;
    }

    /** How many controls there are. */
    int count() {
        return running.size();
    }

    /** The process dies: nobody takes a turn any more. */
    void kill() {
        running.clear();
    }
}
