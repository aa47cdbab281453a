package xenback.xen.bus;

/** A time to look again, in the terms of {@link System#nanoTime}, which may wrap. */
final class Alarm {
    private boolean set;
    private long atNanos;

    void clear() {
        set = false;
    }

    boolean isSet() {
        return set;
    }

    /** Goes off in {@code nanos}, or when it would already if that is sooner. */
    void within(long nanos, long nowNanos) {
        if (!set || atNanos - nowNanos > nanos) {
            set = true;
            atNanos = nowNanos + nanos;
        }
    }

    boolean isDue(long nowNanos) {
        return set && nowNanos - atNanos >= 0;
    }

    /** Nanoseconds to go, {@link Control#NO_ALARM} if it is not set. */
    long left(long nowNanos) {
        return set ? Math.max(0, atNanos - nowNanos) : Control.NO_ALARM;
    }
}
