package xenback.net.backend;

import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;

/**
 * How many bytes an interface may send in one direction, over all its queues: {@code rate} of libxl, so many bytes in each
 * interval. Kept as the time at which all that was sent would have gone at that rate (a virtual scheduling algorithm, ITU-T
 * I.371): one number, so that queues share it without a lock. Pure but for that: the time is the caller's.
 */
final class RateLimit {
    /** No limit. */
    static final RateLimit NONE = new RateLimit(0, 1);

    /** What may go at once after a pause at least, as with Linux' xen-netback (max_burst): the largest frame fits. */
    private static final long LEAST_BURST_BYTES = 131_072;

    /**
     * For so long credit is kept: a thread that comes late, because its processor was busy with others, makes up for it. In ten
     * seconds it is 2.5 % of the rate.
     */
    private static final long LEAST_BURST_NANOS = 250_000_000;

    private static final long NANOS_PER_MICRO = 1000;
    private static final long LONGEST_INTERVAL_MICROS = 10_000_000;
    private static final long MOST_BYTES = 1L << 40;

    private final long bytes;
    private final long intervalNanos;
    private final long burstNanos;
    private final AtomicLong doneAtNanos = new AtomicLong(Long.MIN_VALUE);

    /** @param bytes in each interval; 0 for no limit */
    RateLimit(long bytes, long intervalMicros) {
        this.bytes = bytes;
        intervalNanos = intervalMicros * NANOS_PER_MICRO;
        burstNanos = bytes == 0 ? 0 : Math.max(LEAST_BURST_NANOS, nanosFor(Math.max(LEAST_BURST_BYTES, bytes)));
    }

    /** Reads {@code bytes,usecs} (xl-network-configuration, rate); empty if it is anything else. */
    static Optional<RateLimit> parse(String text) {
        String[] parts = text.split(",", -1);
        if (parts.length != 2 || !parts[0].matches("[0-9]{1,13}") || !parts[1].matches("[0-9]{1,8}")) {
            return Optional.empty();
        }
        long bytes = Long.parseLong(parts[0]);
        long micros = Long.parseLong(parts[1]);
        return bytes > 0 && bytes <= MOST_BYTES && micros > 0 && micros <= LONGEST_INTERVAL_MICROS
                ? Optional.of(new RateLimit(bytes, micros))
                : Optional.empty();
    }

    /**
     * Takes the credit for a frame, if there is some: as with a debt, the last frame may be larger than what is left.
     *
     * @return 0 if it may go, else the nanoseconds after which to ask again
     */
    long take(int frameBytes, long nowNanos) {
        if (bytes == 0) {
            return 0;
        }
        long cost = nanosFor(frameBytes);
        while (true) {
            long doneAt = doneAtNanos.get();
            boolean rested = doneAt == Long.MIN_VALUE || nowNanos - doneAt > burstNanos;
            long start = rested ? nowNanos - burstNanos : doneAt;
            if (start - nowNanos >= 0) {
                return start - nowNanos + 1;
            }
            if (doneAtNanos.compareAndSet(doneAt, start + cost)) {
                return 0;
            }
        }
    }

    /**
     * Cannot overflow: at most 2^40 bytes and 10^10 ns, so the product is taken apart. Rounded up, or many small frames would
     * go above the rate.
     */
    private long nanosFor(long amount) {
        return amount / bytes * intervalNanos + (long) Math.ceil((double) (amount % bytes) * intervalNanos / bytes);
    }

    boolean limits() {
        return bytes != 0;
    }

    @Override
    public String toString() {
        return bytes == 0 ? "unlimited" : bytes + "," + intervalNanos / NANOS_PER_MICRO;
    }
}
