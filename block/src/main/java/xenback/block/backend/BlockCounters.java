package xenback.block.backend;

import java.util.concurrent.TimeUnit;
import xenback.block.protocol.Rule;
import xenback.xen.io.Counter;

/** What one queue has done. Counted by its loop, readable by any thread. */
public final class BlockCounters {
    private static final long LOG_INTERVAL_NANOS = TimeUnit.SECONDS.toNanos(1);

    final Counter reads = new Counter();
    final Counter writes = new Counter();
    final Counter flushes = new Counter();
    final Counter bytesRead = new Counter();
    final Counter bytesWritten = new Counter();
    final Counter errors = new Counter();
    final Counter notifications = new Counter();
    final Counter taken = new Counter();
    final Counter answered = new Counter();
    private final Counter[] violations = new Counter[Rule.count()];

    /** Owned by the queue. Kept with the device, or a guest that reconnects would begin with a fresh limit. */
    private long nextLogNanos = System.nanoTime();

    BlockCounters() {
        for (int i = 0; i < violations.length; i++) {
            violations[i] = new Counter();
        }
    }

    /** Read requests answered with success. */
    public long reads() {
        return reads.value();
    }

    /** Write requests answered with success. */
    public long writes() {
        return writes.value();
    }

    /** Flushes answered with success. */
    public long flushes() {
        return flushes.value();
    }

    public long bytesRead() {
        return bytesRead.value();
    }

    public long bytesWritten() {
        return bytesWritten.value();
    }

    /** Requests that the disk failed. */
    public long errors() {
        return errors.value();
    }

    /** Events sent to the frontend. */
    public long notifications() {
        return notifications.value();
    }

    /** Requests taken from the ring and not answered yet. */
    public long inFlight() {
        long answeredBefore = answered.value(); // read first, so that the difference cannot be negative
        return taken.value() - answeredBefore;
    }

    /** Requests that broke a rule. */
    public long violations(Rule rule) {
        return violations[rule.index()].value();
    }

    /**
     * Counts a violation.
     *
     * @return true if it may be logged: a line per second and device, or a guest could flood the log (XSA-43)
     */
    boolean violation(Rule rule, long nowNanos) {
        violations[rule.index()].add(1);
        if (nowNanos - nextLogNanos < 0) {
            return false;
        }
        nextLogNanos = nowNanos + LOG_INTERVAL_NANOS;
        return true;
    }
}
