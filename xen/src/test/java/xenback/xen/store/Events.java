package xenback.xen.store;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** Gathers what a watch reports. */
public final class Events implements XenStore.WatchListener {
    private static final long PATIENCE_SECONDS = 20;

    private final BlockingQueue<String> paths = new LinkedBlockingQueue<>();

    @Override
    public void onChange(List<String> changed) {
        paths.addAll(changed);
    }

    /** The next path; fails if none comes. */
    public String next() {
        try {
            String path = paths.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
            assertThat(path).as("an event").isNotNull();
            return path;
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Everything up to and with {@code last}; fails if that never comes. */
    public List<String> upTo(String last) {
        List<String> seen = new ArrayList<>();
        do {
            seen.add(next());
        } while (!seen.getLast().equals(last));
        return seen;
    }

    public static void await(String what, BooleanSupplier condition) {
        long deadlineNanos = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime() - deadlineNanos)
                    .as("waited in vain: " + what)
                    .isNegative();
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
        }
    }
}
