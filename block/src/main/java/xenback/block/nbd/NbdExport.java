package xenback.block.nbd;

import java.nio.charset.StandardCharsets;
import xenback.block.disk.Disk;
import xenback.xen.io.EventLoop;

/**
 * A disk under the name by which NBD clients ask for it.
 *
 * @param name at most 256 bytes of UTF-8 without NUL; may be empty
 * @param description for people, with the same limits
 * @param disk stays the caller's and is closed by the caller after the server
 * @param loop serves all connections to this export; the disk's queue is opened on it. Outlives the server
 */
public record NbdExport(String name, String description, Disk disk, EventLoop loop) {
    public NbdExport {
        checkString("name", name);
        checkString("description", description);
    }

    byte[] nameBytes() {
        return name.getBytes(StandardCharsets.UTF_8);
    }

    byte[] descriptionBytes() {
        return description.getBytes(StandardCharsets.UTF_8);
    }

    private static void checkString(String what, String value) {
        int bytes = value.getBytes(StandardCharsets.UTF_8).length;
        if (bytes > NbdProtocol.MAX_STRING_BYTES || value.indexOf('\0') >= 0) {
            throw new IllegalArgumentException(
                    "the " + what + " of an NBD export is at most 256 bytes without NUL, not " + bytes + " bytes");
        }
    }
}
