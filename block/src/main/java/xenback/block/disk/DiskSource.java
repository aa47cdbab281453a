package xenback.block.disk;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.NativeFile;

/** Opens what a device's {@code params} name. */
@FunctionalInterface
public interface DiskSource {
    /**
     * Opens a store. Blocks.
     *
     * @param target as the toolstack wrote it: a path, or one of the forms of {@link #TARGETS}
     * @throws XenException whose message names the store and the remedy
     */
    Disk open(String target, FileDisk.Options options) throws XenException;

    /**
     * The targets of this program: {@code null:SIZE}, with a size in bytes or with a suffix K, M, G or T; else the absolute path
     * of an image file or a block device, before which the qdisk and tap kinds put the format (libxl spells raw {@code aio}).
     */
    DiskSource TARGETS = (target, options) -> {
        if (target.startsWith(NullDisk.PREFIX)) {
            return NullDisk.open(target, options.readOnly());
        }
        Path path = path(target);
        if (!path.isAbsolute()) {
            throw new XenException(
                    Errno.EINVAL, "params must be the absolute path of an image file or block device: " + target);
        }
        return FileDisk.open(path, options);
    };

    /** Number of the device that a target names, or of the file system that holds its file; 0 if there is none. */
    static long deviceOf(String target) {
        try {
            return target.startsWith(NullDisk.PREFIX) ? 0 : NativeFile.deviceOf(path(target));
        } catch (XenException e) {
            return 0;
        }
    }

    private static Path path(String target) throws XenException {
        try {
            return Path.of(target.startsWith("aio:") || target.startsWith("raw:") ? target.substring(4) : target);
        } catch (InvalidPathException e) { // a NUL in it
            throw new XenException(Errno.EINVAL, "params cannot be a path", e);
        }
    }
}
