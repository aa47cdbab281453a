package xenback.block.backend;

import java.util.concurrent.TimeUnit;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifRequest;
import xenback.block.protocol.Rule;
import xenback.xen.io.Counter;

/** What one queue has done. Counted by its loop, readable by any thread through {@link BlockCounters}. */
final class QueueCounters {
    private static final long LOG_INTERVAL_NANOS = TimeUnit.SECONDS.toNanos(1);

    final Counter reads = new Counter();
    final Counter writes = new Counter();
    final Counter flushes = new Counter();
    final Counter barriers = new Counter();
    final Counter discards = new Counter();
    final Counter indirect = new Counter();
    final Counter bytesRead = new Counter();
    final Counter bytesWritten = new Counter();
    final Counter bytesDiscarded = new Counter();
    final Counter errors = new Counter();
    final Counter events = new Counter();
    final Counter damped = new Counter();
    final Counter notifications = new Counter();
    final Counter parked = new Counter();
    final Counter taken = new Counter();
    final Counter answered = new Counter();
    final Counter persistentPages = new Counter();
    private final Counter[] violations = new Counter[Rule.count()];

    /** Owned by the queue. Kept with the device, or a guest that reconnects would begin with a fresh limit. */
    private long nextLogNanos = System.nanoTime();

    QueueCounters() {
        for (int i = 0; i < violations.length; i++) {
            violations[i] = new Counter();
        }
    }

    /** Counts a request that succeeded. */
    void count(BlkifRequest request) {
        switch (request.operation()) {
            case Blkif.OP_READ -> {
                reads.add(1);
                bytesRead.add(request.totalBytes());
            }
            case Blkif.OP_DISCARD -> {
                discards.add(1);
                bytesDiscarded.add(request.discardSectors() * 512);
            }
            case Blkif.OP_WRITE -> countWrite(writes, request);
            case Blkif.OP_WRITE_BARRIER -> countWrite(barriers, request);
            default -> countWrite(flushes, request);
        }
    }

    private void countWrite(Counter operations, BlkifRequest request) {
        operations.add(1);
        bytesWritten.add(request.totalBytes());
    }

    long violations(Rule rule) {
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
