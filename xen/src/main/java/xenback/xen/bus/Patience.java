package xenback.xen.bus;

import java.time.Duration;

/** How long to wait before the store is asked again: longer each time, up to half a minute, until it has answered. */
final class Patience {
    private static final long FIRST_NANOS = Duration.ofSeconds(1).toNanos();
    private static final long LONGEST_NANOS = Duration.ofSeconds(32).toNanos();

    private long nextNanos = FIRST_NANOS;

    long nextNanos() {
        long nanos = nextNanos;
        nextNanos = Math.min(2 * nanos, LONGEST_NANOS);
        return nanos;
    }

    void renew() {
        nextNanos = FIRST_NANOS;
    }
}
