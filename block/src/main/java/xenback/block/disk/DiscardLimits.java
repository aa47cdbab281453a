package xenback.block.disk;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import xenback.xen.io.NativeFile;
import xenback.xen.io.NativeFile.Kind;
import xenback.xen.io.NativeFile.Status;

/**
 * How a store gives space back; asked once, when it is opened, without giving any.
 *
 * @param possible false if it does not
 * @param granularityBytes unit in which it does, a multiple of the store's logical block
 * @param alignmentBytes where the first unit begins, less than a unit and a multiple of the logical block
 * @param secure true if it can make sure that nobody reads what was there
 */
record DiscardLimits(boolean possible, int granularityBytes, int alignmentBytes, boolean secure) {
    private static final Path DEVICES = Path.of("/sys/dev/block");

    /** Larger than that of any device; the numbers in xenstore and in here have 32 bits. */
    private static final long MAX_GRANULARITY = 1 << 30;

    /** What there is to know of an open store. */
    static DiscardLimits of(NativeFile file, Status status, boolean readOnly) {
        if (readOnly) {
            return none(status.logicalBlockBytes());
        }
        if (status.kind() == Kind.BLOCK_DEVICE) {
            return ofDevice(DEVICES.resolve(number(status.device())), status.logicalBlockBytes())
                    .secure(file.canDiscardSecurely());
        }
        // A file system that cannot punch holes says so at the first one.
        return new DiscardLimits(true, Math.max(status.spaceBlockBytes(), status.logicalBlockBytes()), 0, false);
    }

    /** Reads a device's directory in sysfs (Documentation/ABI/stable/sysfs-block). A device without one does not discard. */
    static DiscardLimits ofDevice(Path sysfs, int logicalBlockBytes) {
        // The queue is the whole device's; a partition is a directory in that one's. The alignment is the partition's
        // own.
        Path queue = Files.isDirectory(sysfs.resolve("queue")) ? sysfs.resolve("queue") : sysfs.resolve("../queue");
        try {
            if (number(queue.resolve("discard_max_bytes")) == 0) {
                return none(logicalBlockBytes);
            }
            long granularity = number(queue.resolve("discard_granularity"));
            if (granularity <= 0 || granularity > MAX_GRANULARITY || granularity % logicalBlockBytes != 0) {
                granularity = logicalBlockBytes;
            }
            long alignment = number(sysfs.resolve("discard_alignment")) % granularity;
            if (alignment < 0 || alignment % logicalBlockBytes != 0) {
                alignment = 0;
            }
            return new DiscardLimits(true, (int) granularity, (int) alignment, false);
        } catch (IOException | NumberFormatException e) {
            return none(logicalBlockBytes);
        }
    }

    /**
     * Where a piece that begins at {@code offset} ends if pieces have about {@code pieceBytes}: between two units, because
     * of a unit that is given back in two parts nothing is given back.
     */
    long pieceEnd(long offset, long pieceBytes) {
        long whole = Math.max(1, pieceBytes / granularityBytes) * granularityBytes;
        return alignmentBytes + (Math.floorDiv(offset - alignmentBytes, whole) + 1) * whole;
    }

    private static DiscardLimits none(int logicalBlockBytes) {
        return new DiscardLimits(false, logicalBlockBytes, 0, false);
    }

    private DiscardLimits secure(boolean can) {
        return new DiscardLimits(possible, granularityBytes, alignmentBytes, can);
    }

    private static long number(Path file) throws IOException {
        return Long.parseLong(Files.readString(file).strip());
    }

    /** MAJ:MIN of a device number as {@link Status#device} has it. */
    private static String number(long device) {
        return (device >> 8 & 0xFFF) + ":" + (device & 0xFF | device >> 12 & 0xFFF00);
    }
}
