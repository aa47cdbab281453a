package xenback.daemon;

import java.util.Locale;

/** Whether the kernel's page cache stands between the backend and the store. */
enum CachePolicy {
    BUFFERED,
    /** O_DIRECT, where the store allows it. */
    DIRECT;

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
