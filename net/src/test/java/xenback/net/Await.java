package xenback.net;

import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Waits for what another thread brings about, and fails in words when it does not come. Time in which the whole process stood
 * still does not count.
 */
final class Await {
    private static final long LIMIT_NANOS = TimeUnit.SECONDS.toNanos(20);
    private static final long LOOK_EVERY_NANOS = TimeUnit.MICROSECONDS.toNanos(200);

    private static final long LONGEST_LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

    private Await() {}

    /** Waits until {@code condition} holds. {@code what} is evaluated after the time-out, so it can show the state. */
    static void until(Callable<Boolean> condition, Callable<String> what) throws Exception {
        long waitedNanos = 0;
        long last = System.nanoTime();
        while (!condition.call()) {
            if (waitedNanos > LIMIT_NANOS) {
                throw new AssertionError("still waiting for: " + what.call());
            }
            LockSupport.parkNanos(LOOK_EVERY_NANOS);
            long now = System.nanoTime();
            waitedNanos += Math.min(now - last, LONGEST_LOOK_NANOS);
            last = now;
        }
    }
}
