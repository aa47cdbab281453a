package xenback.xen.event;

import java.util.concurrent.TimeUnit;

/**
 * How long a guest has to wait that sends events without requests, one after another (XSA-332). Some come by themselves: the
 * request that an event tells of may have been found by a look before it. Beyond a number of them in a row the port stays
 * masked for a time that doubles, as Linux' late EOI does it. One request makes up for all. Pure: the caller waits.
 */
public final class EventStorm {
    /** In a row, and nothing is held against the guest. */
    static final int PARDONED = 64;

    /** Events of each step, so that the time doubles not with every one. */
    static final int PER_STEP = 8;

    static final long FIRST_DELAY_NANOS = TimeUnit.MILLISECONDS.toNanos(1);
    static final int LAST_STEP = 8; // 256 ms

    private int inVain;

    /** An event came and no request with it. Returns how many nanoseconds the port stays masked. */
    public long onVainEvent() {
        if (inVain < PARDONED) {
            inVain++;
            return 0;
        }
        int step = (inVain - PARDONED) / PER_STEP;
        if (step < LAST_STEP) {
            inVain++;
        }
        return FIRST_DELAY_NANOS << step;
    }

    /** There was a request. */
    public void calm() {
        inVain = 0;
    }
}
