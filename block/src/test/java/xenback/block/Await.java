package xenback.block;

import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** Waits for what another thread brings about, and fails in words when it does not come. */
public final class Await {
    private static final long LIMIT_NANOS = TimeUnit.SECONDS.toNanos(20);
    private static final long LOOK_EVERY_NANOS = TimeUnit.MICROSECONDS.toNanos(200);

    private Await() {}

    /** Waits until {@code condition} holds. {@code what} is evaluated after the time-out, so it can show the state. */
    public static void until(Callable<Boolean> condition, Callable<String> what) throws Exception {
        long deadline = System.nanoTime() + LIMIT_NANOS;
        while (!condition.call()) {
            if (System.nanoTime() - deadline > 0) {
                throw new AssertionError("still waiting for: " + what.call());
            }
            LockSupport.parkNanos(LOOK_EVERY_NANOS);
        }
    }
}
