package xenback.daemon;

import java.util.Locale;

/** How the event loops reach files and sockets. */
enum IoEngine {
    /** io_uring where the kernel allows it, threads elsewhere. */
    AUTO,
    URING,
    THREADS;

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
