package xenback.block.disk;

import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.EventLoop;
import xenback.xen.io.NativeFile;
import xenback.xen.io.NativeFile.Kind;
import xenback.xen.io.NativeFile.Mode;
import xenback.xen.io.NativeFile.Status;
import xenback.xen.io.SpaceChange;

/**
 * An image file or a block device, byte for byte: the raw format. Opened for one user: a writer holds an exclusive advisory
 * lock (which QEMU's tools respect), and a device must not be claimed or mounted (O_EXCL).
 *
 * <p>Buffered unless direct access was asked for and the store allows it; then what is not aligned for O_DIRECT goes through
 * a second, buffered descriptor, which the kernel keeps coherent.
 *
 * <p>Discard makes holes in a file, and asks a device to forget. A file system or device that cannot says so at the first
 * attempt at the latest. Zeroes are made by the file system or the device, and written where neither can.
 */
public final class FileDisk implements Disk {
    private static final System.Logger LOG = System.getLogger(FileDisk.class.getName());
    private static final int SECTOR_BYTES = 512;

    private final NativeFile buffered;
    private final @Nullable NativeFile direct;
    private final Status status; // but for the size
    private final Options options;
    private final DiscardLimits discards;
    private volatile long sizeBytes;
    private volatile boolean discardRefused;
    private volatile boolean secureDiscardRefused;
    private final AtomicBoolean shrinkSaid = new AtomicBoolean();
    private final AtomicBoolean fullSaid = new AtomicBoolean();

    private FileDisk(NativeFile buffered, @Nullable NativeFile direct, Status status, Options options) {
        this.buffered = buffered;
        this.direct = direct;
        this.status = status;
        this.options = options;
        discards = DiscardLimits.of(buffered, status, options.readOnly());
        sizeBytes = status.sizeBytes();
    }

    /**
     * How to open a store.
     *
     * @param direct use O_DIRECT where the store allows it
     * @param ownSectorSize publish a block device's own logical block, so that guests must align to it; else 512 bytes,
     *     whatever it is
     */
    public record Options(boolean readOnly, boolean direct, boolean ownSectorSize) {}

    /**
     * Opens a store for exclusive use, or for shared use by readers.
     *
     * @throws XenException EBUSY if it is in use or mounted; ENOENT, EACCES, EISDIR, EINVAL... each with the remedy
     */
    public static FileDisk open(Path path, Options options) throws XenException {
        if (NativeFile.kindOf(path).equals(Optional.of(Kind.OTHER))) {
            throw noDisk(path); // before it is opened, for a fifo would keep us until somebody writes to it
        }
        boolean readOnly = options.readOnly();
        NativeFile file = openFile(path, readOnly);
        try {
            Status status = file.status();
            checkKind(path, status);
            checkSize(path, status.sizeBytes());
            claim(file, status, readOnly);
            return new FileDisk(file, options.direct() ? openDirect(path, readOnly) : null, status, options);
        } catch (XenException e) {
            file.close();
            throw e;
        }
    }

    @Override
    public String name() {
        return buffered.path().toString();
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public synchronized boolean refreshSize(boolean mayShrink) throws XenException {
        long found = buffered.sizeBytes();
        if (found == sizeBytes) {
            shrinkSaid.set(false); // it is whole, perhaps again
            return false;
        }
        if (found < sizeBytes && !mayShrink) {
            onShrunk();
            return false;
        }
        checkSize(buffered.path(), found);
        shrinkSaid.set(false);
        sizeBytes = found;
        return true;
    }

    /**
     * 512 whatever the store has, unless the store's own was asked for: with it all frontends agree in what they count
     * (blkif.h, 2024), and images that were made for 512 can be used. What the store cannot take at this size goes through
     * the page cache, where the kernel reads, changes and writes whole blocks.
     */
    @Override
    public int logicalBlockBytes() {
        return options.ownSectorSize() ? status.logicalBlockBytes() : SECTOR_BYTES;
    }

    /** The store's, or less for a disk that is no multiple of it: blkif.h wants whole ones. */
    @Override
    public int physicalBlockBytes() {
        return (int) Math.min(status.physicalBlockBytes(), Long.lowestOneBit(sizeBytes));
    }

    @Override
    public boolean readOnly() {
        return options.readOnly();
    }

    @Override
    public boolean canFlush() {
        return !readOnly();
    }

    @Override
    public boolean canDiscard() {
        return discards.possible() && !discardRefused;
    }

    @Override
    public int discardGranularityBytes() {
        return discards.granularityBytes();
    }

    @Override
    public int discardAlignmentBytes() {
        return discards.alignmentBytes();
    }

    @Override
    public boolean canDiscardSecurely() {
        return canDiscard() && discards.secure() && !secureDiscardRefused;
    }

    @Override
    public boolean canWriteZeroes() {
        return !readOnly();
    }

    /** The kernel copies what it buffers, and has done with the pages of a direct operation when it completes. */
    @Override
    public boolean takesGrantedPages() {
        return true;
    }

    @Override
    public boolean knowsExtents() {
        return status.kind() == Kind.REGULAR;
    }

    @Override
    public long nextExtent(long offsetBytes, long lengthBytes) throws XenException {
        return knowsExtents() ? buffered.extentAt(offsetBytes, lengthBytes) : lengthBytes;
    }

    /** True if O_DIRECT is in use. */
    public boolean isDirect() {
        return direct != null;
    }

    @Override
    public DiskQueue openQueue(EventLoop loop) {
        return new FileDiskQueue(this, loop);
    }

    @Override
    public void close() throws XenException {
        try {
            if (!readOnly()) {
                buffered.sync();
            }
        } finally {
            if (direct != null) {
                direct.close();
            }
            buffered.close(); // drops the lock
        }
    }

    NativeFile buffered() {
        return buffered;
    }

    /** The descriptor for an operation: direct if there is one and the operation is aligned for it. */
    NativeFile fileFor(boolean alignedForDirect) {
        NativeFile past = direct;
        return past != null && alignedForDirect ? past : buffered;
    }

    /** What memory, offsets and lengths must be multiples of for O_DIRECT. Before Linux 6.1 files do not say; 4096 will do. */
    int directAlignmentBytes() {
        int known = Math.max(status.directMemoryBytes(), status.directOffsetBytes());
        return known == 0 ? 4096 : Math.max(SECTOR_BYTES, known);
    }

    /** Granularity of changes of space: a device's own logical block; a file's bytes can be changed one by one. */
    int spaceAlignmentBytes() {
        return status.kind() == Kind.BLOCK_DEVICE ? status.logicalBlockBytes() : 1;
    }

    /** How a discard is done. */
    SpaceChange discardChange(boolean secure) {
        if (status.kind() == Kind.REGULAR) {
            return SpaceChange.PUNCH_HOLE;
        }
        return secure ? SpaceChange.SECURE_DISCARD : SpaceChange.DISCARD;
    }

    DiscardLimits discards() {
        return discards;
    }

    /** The file system or the device does not discard after all. */
    void onDiscardRefused(boolean secure) {
        if (secure) {
            secureDiscardRefused = true;
        } else {
            discardRefused = true;
        }
    }

    /** The store ended before the disk did. Said once. */
    void onShrunk() {
        if (!shrinkSaid.getAndSet(true)) {
            LOG.log(
                    Level.ERROR,
                    "{0}: shorter than the {1} bytes that its guest was given; its requests beyond the end fail until the"
                            + " file has that size again",
                    name(),
                    Long.toString(sizeBytes()));
        }
    }

    /** A write failed. Said once per disk for want of space, which lasts. */
    void onWriteFailed(int errno) {
        if (errno == Errno.ENOSPC.number() && !fullSaid.getAndSet(true)) {
            LOG.log(
                    Level.ERROR,
                    "{0}: no space left for it on its file system; its guest''s writes fail until there is",
                    name());
        }
    }

    private static NativeFile openFile(Path path, boolean readOnly) throws XenException {
        try {
            if (!readOnly) {
                return NativeFile.open(path, Mode.WRITE, Mode.EXCLUSIVE_DEVICE);
            }
            // A device that is mounted or written to would change under its readers. They share it with each other,
            // though,
            // so the claim is only tried, not held.
            NativeFile.open(path, Mode.EXCLUSIVE_DEVICE).close();
            return NativeFile.open(path);
        } catch (XenException e) {
            String why = switch (e.errno()) {
                case ENOENT -> "there is no such file";
                case EACCES, EPERM -> "permission denied; change its mode or run as its owner";
                case EROFS -> "on a read-only file system; give the guest access r";
                case EISDIR -> "a directory; name an image file or a block device";
                case EBUSY -> "the device is mounted or in use; release it first";
                case ETXTBSY -> "in use by the kernel (a swap file or a running program)";
                default -> e.errno().toString();
            };
            throw new XenException(e.errno(), path + ": " + why, e);
        }
    }

    private static XenException noDisk(Path path) {
        return new XenException(Errno.EINVAL, path + ": neither an image file nor a block device");
    }

    private static void checkKind(Path path, Status status) throws XenException {
        switch (status.kind()) {
            case DIRECTORY ->
                throw new XenException(Errno.EISDIR, path + ": a directory; name an image file or a block device");
            case OTHER -> throw noDisk(path);
            case REGULAR, BLOCK_DEVICE -> {}
        }
    }

    /** A device is a multiple of its own block in any case, so 512 is what can be missed. */
    private static void checkSize(Path path, long sizeBytes) throws XenException {
        if (sizeBytes == 0) {
            throw new XenException(Errno.EINVAL, path + ": is empty; give it a size (truncate -s 1G " + path + ")");
        }
        if (sizeBytes % SECTOR_BYTES != 0) {
            throw new XenException(
                    Errno.EINVAL,
                    path + ": its size of " + sizeBytes + " bytes is no multiple of " + SECTOR_BYTES
                            + "; round it up (truncate -s %" + SECTOR_BYTES + " " + path + ")");
        }
    }

    private static void claim(NativeFile file, Status status, boolean readOnly) throws XenException {
        file.lock(!readOnly);
        if (status.kind() == Kind.REGULAR) {
            String loop = LoopDevices.over(file.path());
            if (!loop.isEmpty() && !readOnly) {
                throw new XenException(
                        Errno.EBUSY, file.path() + ": in use as " + loop + "; detach it (losetup -d " + loop + ")");
            }
        }
    }

    private static @Nullable NativeFile openDirect(Path path, boolean readOnly) {
        try {
            return readOnly
                    ? NativeFile.open(path, Mode.DIRECT)
                    : NativeFile.open(path, Mode.DIRECT, Mode.WRITE); // claimed by the first descriptor already
        } catch (XenException e) {
            LOG.log(Level.WARNING, "{0}: no direct access here ({1}), going through the page cache", path, e.errno());
            return null;
        }
    }
}
