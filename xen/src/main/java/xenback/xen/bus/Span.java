package xenback.xen.bus;

/** For how long something has been so, in the terms of {@link System#nanoTime}. */
final class Span {
    private boolean begun;
    private long sinceNanos;

    /** It is so; since now, if it was not before. */
    void begin(long nowNanos) {
        if (!begun) {
            begun = true;
            sinceNanos = nowNanos;
        }
    }

    /** It is not so. */
    void end() {
        begun = false;
    }

    boolean isBegun() {
        return begun;
    }

    /** Nanoseconds until it will have been so for that long; 0 if it has. Only for what is so. */
    long left(long lengthNanos, long nowNanos) {
        return Math.max(0, lengthNanos - (nowNanos - sinceNanos));
    }

    boolean hasLasted(long lengthNanos, long nowNanos) {
        return begun && left(lengthNanos, nowNanos) == 0;
    }
}
