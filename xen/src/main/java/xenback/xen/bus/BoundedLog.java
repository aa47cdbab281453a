package xenback.xen.bus;

import java.lang.System.Logger.Level;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * What one device has to say, a line of bounded length per second at most: a guest that connects wrongly again and again must
 * not fill the log (the class of XSA-43).
 */
final class BoundedLog {
    /** Fits into a node of an unprivileged domain, with room to spare. */
    private static final int LONGEST = 1000;

    private static final long INTERVAL_NANOS = Duration.ofSeconds(1).toNanos();

    private final System.Logger logger;
    private final String who;
    private final Alarm silence = new Alarm();

    BoundedLog(System.Logger logger, String who) {
        this.logger = logger;
        this.who = who;
    }

    void error(@Nullable String what, long nowNanos) {
        log(Level.ERROR, what, nowNanos);
    }

    void warn(@Nullable String what, long nowNanos) {
        log(Level.WARNING, what, nowNanos);
    }

    private void log(Level level, @Nullable String what, long nowNanos) {
        if (!silence.isSet() || silence.isDue(nowNanos)) {
            silence.clear();
            silence.within(INTERVAL_NANOS, nowNanos);
            logger.log(level, "{0}: {1}", who, bounded(String.valueOf(what)));
        }
    }

    /** The words without control characters, and cut if they are many. */
    static String bounded(String words) {
        StringBuilder bounded = new StringBuilder();
        for (int i = 0; i < Math.min(words.length(), LONGEST); i++) {
            char c = words.charAt(i);
            bounded.append(Character.isISOControl(c) ? '?' : c);
        }
        return words.length() > LONGEST ? bounded + "..." : bounded.toString();
    }
}
