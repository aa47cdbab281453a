package xenback.daemon;

import java.util.Locale;

/** What a guest takes its disk for; the words are those of {@code devtype=} and of the node {@code device-type}. */
enum DeviceType {
    DISK,
    /** A medium, never written. */
    CDROM;

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
