package xenback.daemon;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.OptionalLong;
import java.util.Set;

/**
 * Looks at the stores of all disks before anything is started, so that a mistake is told in one line and nothing is left
 * half done. What only an open can find (a store in use) is found later. Between this look and the open the world may
 * change; the open checks again, here is only the better message.
 */
final class DiskPreflight {
    private static final int SECTOR_BYTES = 512;

    /** File type bits of st_mode (inode(7)). */
    private static final int S_IFMT = 0170000;

    private static final int S_IFBLK = 0060000;

    private DiskPreflight() {}

    /** Refuses two disks under one name in one guest. */
    static void checkVdevs(List<DiskSpec> disks) throws UserError {
        Set<String> titles = new HashSet<>();
        for (DiskSpec disk : disks) {
            if (!titles.add(disk.title())) {
                throw UserError.usage("--disk " + disk.target() + ": " + disk.title()
                        + " is taken by another --disk; choose another vdev or guest=N");
            }
        }
    }

    /** Refuses every store that cannot be served as asked. */
    static void check(List<DiskSpec> disks) throws UserError {
        for (DiskSpec disk : disks) {
            checkTarget(disk);
        }
    }

    /** As {@link #check}, and makes the image files that are missing, sparse, after all others were found good. */
    static void checkOrCreate(List<DiskSpec> disks, long sizeBytes) throws UserError {
        if (sizeBytes == 0 || sizeBytes % SECTOR_BYTES != 0) {
            throw UserError.usage("--create " + sizeBytes + ": a disk has a multiple of 512 bytes, and not 0");
        }
        List<Path> missing = new ArrayList<>();
        for (DiskSpec disk : disks) {
            if (!disk.isNull() && !exists(disk.target())) {
                checkParent(disk.target());
                missing.add(disk.target());
                continue;
            }
            long found = checkTarget(disk).orElse(sizeBytes);
            if (found != sizeBytes) {
                throw UserError.failure(disk.target() + ": exists with " + found + " bytes, --create asks for "
                        + sizeBytes + "; leave out --create, or name another file");
            }
        }
        create(missing, sizeBytes);
    }

    /** The size of an image file in bytes; empty for what only an open can measure: a block device, {@code null:SIZE}. */
    private static OptionalLong checkTarget(DiskSpec disk) throws UserError {
        if (disk.isNull()) {
            return OptionalLong.empty();
        }
        Path target = disk.target();
        if (!exists(target)) {
            throw UserError.failure(target + ": no such file; check the path, or make a new image with --create SIZE");
        }
        if (Files.isDirectory(target)) {
            throw UserError.failure(target + ": is a directory; name an image file or a block device");
        }
        boolean blockDevice = isBlockDevice(target);
        if (!blockDevice && !Files.isRegularFile(target)) {
            throw UserError.failure(target + ": is neither a file nor a block device");
        }
        if (!Files.isReadable(target)) {
            throw UserError.failure(target + ": permission to read is missing; change its mode or run as its owner");
        }
        if (!disk.readOnly() && !Files.isWritable(target)) {
            throw UserError.failure(target + ": cannot be written; serve it with access r, or change its mode");
        }
        return blockDevice ? OptionalLong.empty() : OptionalLong.of(checkSize(target));
    }

    private static long checkSize(Path target) throws UserError {
        long size;
        try {
            size = Files.size(target);
        } catch (IOException e) {
            throw UserError.failure(target + ": its size cannot be read: " + Reason.of(e), e);
        }
        if (size == 0) {
            throw UserError.failure(target + ": is empty; give it a size with: truncate -s 1G FILE");
        }
        if (size % SECTOR_BYTES != 0) {
            throw UserError.failure(
                    target + ": has " + size + " bytes, not a multiple of 512; enlarge it with: truncate -s %512 FILE");
        }
        return size;
    }

    /** A link to nowhere does not exist; what may not be looked at does, and is refused as unreadable. */
    private static boolean exists(Path target) {
        return !Files.notExists(target);
    }

    private static void checkParent(Path target) throws UserError {
        Path parent = target.toAbsolutePath().getParent();
        if (parent == null || !Files.isDirectory(parent)) {
            throw UserError.failure(target + ": its directory does not exist; make it with: mkdir -p " + parent);
        }
    }

    private static boolean isBlockDevice(Path target) throws UserError {
        try {
            return ((Integer) Files.getAttribute(target, "unix:mode") & S_IFMT) == S_IFBLK;
        } catch (IOException e) {
            throw UserError.failure(target + ": cannot be looked at: " + Reason.of(e), e);
        }
    }

    /** Makes all or none. */
    private static void create(List<Path> targets, long sizeBytes) throws UserError {
        List<Path> made = new ArrayList<>();
        for (Path target : targets) {
            try (FileChannel image = FileChannel.open(
                    target, StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW, StandardOpenOption.SPARSE)) {
                made.add(target);
                // A write of the last byte is the way to a size that the JDK offers; the rest stays a hole.
                image.write(ByteBuffer.allocate(1), sizeBytes - 1);
            } catch (IOException e) {
                made.forEach(DiskPreflight::remove);
                throw UserError.failure(target + ": cannot be made with " + sizeBytes + " bytes: " + Reason.of(e), e);
            }
        }
    }

    private static void remove(Path made) {
        try {
            Files.delete(made);
        } catch (IOException e) {
            // The reason that is told is why it could not be made; this one would follow from it.
        }
    }
}
