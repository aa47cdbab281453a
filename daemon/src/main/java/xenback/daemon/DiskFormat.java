package xenback.daemon;

import java.util.Locale;

/** How a store is laid out. */
enum DiskFormat {
    /** Sector n of the disk is sector n of the file or device. */
    RAW;

    /** The format of that name. */
    static DiskFormat named(String name) throws UserError {
        return Choice.of(DiskFormat.class, name)
                .orElseThrow(() -> UserError.usage("unknown disk format '" + name + "'; known: "
                        + Choice.known(DiskFormat.class) + " (convert others with: qemu-img convert -O raw FROM TO)"));
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
