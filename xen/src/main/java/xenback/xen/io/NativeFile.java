package xenback.xen.io;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * An open file or block device, for event loops ({@link EventLoop#readv}) and for the control path (the methods here,
 * which block). Opened close-on-exec. The owner closes it after the last operation.
 */
public final class NativeFile implements AutoCloseable {
    /** How to open. */
    public enum Mode {
        /** For writing too. */
        WRITE,
        /** Past the page cache (O_DIRECT). Buffers, offsets and lengths must then be aligned. */
        DIRECT,
        /** Refuses a block device that is mounted or otherwise claimed (O_EXCL without O_CREAT: EBUSY). */
        EXCLUSIVE_DEVICE,
        /** Makes the file, which must not be there yet. */
        CREATE_NEW
    }

    /** What a path names. */
    public enum Kind {
        REGULAR,
        BLOCK_DEVICE,
        DIRECTORY,
        OTHER
    }

    // asm-generic/fcntl.h; O_DIRECT is 040000 on x86-64 and 0200000 on arm64.
    private static final int O_RDWR = 2;
    private static final int O_CREAT = 0x40;
    private static final int O_EXCL = 0x80;
    private static final int O_CLOEXEC = 0x80000;
    private static final int O_DIRECT = System.getProperty("os.arch").equals("aarch64") ? 0x10000 : 0x4000;

    private static final int F_OFD_SETLK = 37;
    private static final short F_RDLCK = 0;
    private static final short F_WRLCK = 1;

    // linux/fs.h
    private static final long BLKSSZGET = 0x1268;
    private static final long BLKPBSZGET = 0x127B;
    private static final long BLKGETSIZE64 = 0x80081272L;

    private static final boolean SECURE_DISCARD_TELLS = isLinuxSince(5, 19);

    private static final int SEEK_DATA = 3;
    private static final int SEEK_HOLE = 4;

    // struct statfs (asm-generic/statfs.h, 64-bit): f_type, a long, is the first field. Numbers of linux/magic.h.
    private static final int STATFS_BYTES = 120;
    private static final long TMPFS_MAGIC = 0x01021994L;
    private static final long RAMFS_MAGIC = 0x858458F6L;

    // struct statx (linux/stat.h)
    private static final int STATX_BYTES = 256;
    private static final int AT_EMPTY_PATH = 0x1000;
    private static final int STATX_BASIC_STATS = 0x7FF;
    private static final int STATX_DIOALIGN = 0x2000;
    private static final int STATX_MASK_AT = 0;
    private static final int STATX_BLKSIZE_AT = 4;
    private static final int STATX_MODE_AT = 28;
    private static final int STATX_SIZE_AT = 40;
    private static final int STATX_RDEV_MAJOR_AT = 128;
    private static final int STATX_RDEV_MINOR_AT = 132;
    private static final int STATX_DEV_MAJOR_AT = 136;
    private static final int STATX_DEV_MINOR_AT = 140;
    private static final int STATX_DIO_MEM_ALIGN_AT = 152;
    private static final int STATX_DIO_OFFSET_ALIGN_AT = 156;

    private final Path path;
    private final int fd;
    private final boolean direct;
    private final boolean inMemory;
    private final AtomicInteger spaceChanges = new AtomicInteger(); // under way, on any loop

    private NativeFile(Path path, int fd, boolean direct) {
        this.path = path;
        this.fd = fd;
        this.direct = direct;
        inMemory = isInMemory(fd);
    }

    /** Opens; the exception carries the errno and names the path. */
    public static NativeFile open(Path path, Mode... modes) throws XenException {
        Set<Mode> chosen = EnumSet.noneOf(Mode.class);
        chosen.addAll(Set.of(modes));
        int flags = O_CLOEXEC
                | (chosen.contains(Mode.WRITE) ? O_RDWR : 0)
                | (chosen.contains(Mode.DIRECT) ? O_DIRECT : 0)
                | (chosen.contains(Mode.EXCLUSIVE_DEVICE) ? O_EXCL : 0)
                | (chosen.contains(Mode.CREATE_NEW) ? O_CREAT | O_EXCL : 0);
        int fd = (int) Native.check(
                path.toString(), (arena, state) -> Libc.open(state, arena.allocateFrom(path.toString()), flags, 0600));
        return new NativeFile(path, fd, chosen.contains(Mode.DIRECT));
    }

    /**
     * The number of a block device, or of the file system that holds a file, without opening it; encoded as in {@link
     * Status#device}. 0 if there is no such path.
     */
    public static long deviceOf(Path path) {
        try {
            Map<String, Object> attributes = Files.readAttributes(path, "unix:mode,dev,rdev");
            boolean device = kind(((Number) attributes.getOrDefault("mode", 0)).intValue()) == Kind.BLOCK_DEVICE;
            return ((Number) attributes.getOrDefault(device ? "rdev" : "dev", 0L)).longValue();
        } catch (IOException | UnsupportedOperationException e) {
            return 0;
        }
    }

    /** What a path names, without opening it: to open a fifo is to wait for its other end. Empty if there is no such path. */
    public static Optional<Kind> kindOf(Path path) {
        try {
            return Optional.of(kind((Integer) Files.getAttribute(path, "unix:mode")));
        } catch (IOException | UnsupportedOperationException e) {
            return Optional.empty();
        }
    }

    public Path path() {
        return path;
    }

    public int fd() {
        return fd;
    }

    /** True if opened with {@link Mode#DIRECT}. */
    public boolean direct() {
        return direct;
    }

    /** True for a file of a tmpfs or ramfs: its reads and writes wait for no device (but, as all memory, for swap). */
    public boolean inMemory() {
        return inMemory;
    }

    /**
     * What is known of an open file.
     *
     * @param sizeBytes of the file or the device
     * @param device the device's own number for a block device, else that of the file system that holds the file; encoded
     *     as the kernel's huge dev_t, major at bit 8 up and minor in the low bits (MAJOR &lt;&lt; 8 | MINOR below 256)
     * @param logicalBlockBytes smallest unit of direct access, 512 if unknown
     * @param physicalBlockBytes unit that needs no read before a write
     * @param spaceBlockBytes unit in which a file takes space of its file system, and gives it back
     * @param directMemoryBytes alignment of memory for O_DIRECT, 0 if direct access is not possible or not known
     * @param directOffsetBytes alignment of offsets and lengths for O_DIRECT, 0 if not possible or not known
     */
    public record Status(
            Kind kind,
            long sizeBytes,
            long device,
            int logicalBlockBytes,
            int physicalBlockBytes,
            int spaceBlockBytes,
            int directMemoryBytes,
            int directOffsetBytes) {}

    /** Asks the kernel what this is. */
    public Status status() throws XenException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment statx = arena.allocate(STATX_BYTES, 8);
            Native.check(path + ": statx", (scratch, state) -> statx(scratch, state, fd, statx));
            Kind kind = kind(Short.toUnsignedInt(statx.get(ValueLayout.JAVA_SHORT, STATX_MODE_AT)));
            boolean device = kind == Kind.BLOCK_DEVICE;
            long number = device
                    ? deviceNumber(statx, STATX_RDEV_MAJOR_AT, STATX_RDEV_MINOR_AT)
                    : deviceNumber(statx, STATX_DEV_MAJOR_AT, STATX_DEV_MINOR_AT);
            boolean dioKnown = (statx.get(ValueLayout.JAVA_INT, STATX_MASK_AT) & STATX_DIOALIGN) != 0;
            int dioMemory = dioKnown ? statx.get(ValueLayout.JAVA_INT, STATX_DIO_MEM_ALIGN_AT) : 0;
            int dioOffset = dioKnown ? statx.get(ValueLayout.JAVA_INT, STATX_DIO_OFFSET_ALIGN_AT) : 0;
            if (device) {
                int logical = (int) ioctlValue(BLKSSZGET);
                return new Status(
                        kind,
                        ioctlValue(BLKGETSIZE64),
                        number,
                        logical,
                        Math.max(logical, (int) ioctlValue(BLKPBSZGET)),
                        logical,
                        logical,
                        logical);
            }
            long size = statx.get(ValueLayout.JAVA_LONG, STATX_SIZE_AT);
            int space = statx.get(ValueLayout.JAVA_INT, STATX_BLKSIZE_AT);
            return new Status(kind, size, number, 512, 4096, isSane(space) ? space : 4096, dioMemory, dioOffset);
        }
    }

    /** Size in bytes now; files and devices may grow and shrink while open. */
    public long sizeBytes() throws XenException {
        return status().sizeBytes();
    }

    /**
     * True if a block device can {@linkplain SpaceChange#SECURE_DISCARD discard securely}. It is asked to, without a range:
     * one that can says EFAULT before it has touched anything. Before Linux 5.19 one that can only discard says so too, so
     * there the answer is false.
     */
    public boolean canDiscardSecurely() {
        return SECURE_DISCARD_TELLS
                && Native.call((arena, state) -> Libc.ioctl(state, fd, SpaceChange.SECURE_DISCARD.request(), 0))
                        == -Errno.EFAULT.number();
    }

    /** Sets the length; what is added reads as zeroes and takes no space. */
    public void resize(long sizeBytes) throws XenException {
        Native.check(path + ": ftruncate", (arena, state) -> Libc.ftruncate(state, fd, sizeBytes));
    }

    /**
     * Takes an advisory lock on the whole file that belongs to this open file (F_OFD_SETLK), which QEMU's tools respect and
     * the kernel drops when the process dies. EBUSY if somebody else holds one that conflicts.
     *
     * @param exclusive for a writer; false shares the file with other readers
     */
    public void lock(boolean exclusive) throws XenException {
        long result = Native.call((arena, state) -> {
            MemorySegment flock = arena.allocate(32, 8); // l_type @0, l_whence @2, l_start @8, l_len @16, l_pid @24
            flock.set(ValueLayout.JAVA_SHORT, 0, exclusive ? F_WRLCK : F_RDLCK);
            return Libc.fcntl(state, fd, F_OFD_SETLK, flock.address());
        });
        if (result == -Errno.EAGAIN.number() || result == -Errno.EACCES.number()) {
            throw new XenException(
                    Errno.EBUSY, path + ": in use by another process; end it first (fuser -v " + path + " names it)");
        } else if (result < 0) {
            throw Native.failure(path + ": lock", (int) -result);
        }
    }

    /** Makes everything written through any descriptor durable. */
    public void sync() throws XenException {
        Native.check(path + ": fdatasync", (arena, state) -> Libc.fdatasync(state, fd));
    }

    /**
     * The extent that starts at {@code offset}: its length in bytes, at most {@code length}, negated if it is a hole. A
     * file system without SEEK_HOLE reports data.
     */
    public long extentAt(long offset, long length) throws XenException {
        long data = Native.call((arena, state) -> Libc.lseek(state, fd, offset, SEEK_DATA));
        if (data == -Errno.ENXIO.number()) {
            return -length; // no data from here to the end
        } else if (data < 0) {
            return length; // EINVAL: cannot tell
        } else if (data > offset) {
            return -Math.min(length, data - offset);
        }
        long hole = Native.call((arena, state) -> Libc.lseek(state, fd, offset, SEEK_HOLE));
        return hole <= offset ? length : Math.min(length, hole - offset);
    }

    @Override
    public void close() {
        Native.close(fd);
    }

    /** A change of space is about to start: until it has ended, writes may have to wait for it. */
    void beginSpaceChange() {
        spaceChanges.incrementAndGet();
    }

    void endSpaceChange() {
        spaceChanges.decrementAndGet();
    }

    /** True while a change of space is under way. */
    boolean isSpaceChanging() {
        return spaceChanges.get() != 0;
    }

    private long ioctlValue(long request) throws XenException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(8, 8);
            Native.check(path + ": ioctl", (scratch, state) -> Libc.ioctl(state, fd, request, value.address()));
            return value.get(ValueLayout.JAVA_LONG, 0); // the int-valued ones leave the upper half zero
        }
    }

    /** A device's file lies on a devtmpfs, which looks like a tmpfs; what the device holds does not. */
    private static boolean isInMemory(int fd) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = Libc.newState(arena);
            MemorySegment statfs = arena.allocate(STATFS_BYTES, 8);
            if (Libc.fstatfs(state, fd, statfs) < 0) {
                return false;
            }
            long type = statfs.get(ValueLayout.JAVA_LONG, 0);
            MemorySegment statx = arena.allocate(STATX_BYTES, 8);
            return (type == TMPFS_MAGIC || type == RAMFS_MAGIC)
                    && statx(arena, state, fd, statx) == 0
                    && kind(Short.toUnsignedInt(statx.get(ValueLayout.JAVA_SHORT, STATX_MODE_AT))) == Kind.REGULAR;
        }
    }

    private static int statx(Arena scratch, MemorySegment state, int fd, MemorySegment statx) {
        return Libc.statx(
                state, fd, scratch.allocateFrom(""), AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, statx);
    }

    /** Some file systems call a block what is best read at once. */
    private static boolean isSane(int blockBytes) {
        return blockBytes >= 512 && blockBytes <= 1 << 20 && Integer.bitCount(blockBytes) == 1;
    }

    private static boolean isLinuxSince(int major, int minor) {
        Matcher version = Pattern.compile("(\\d{1,4})\\.(\\d{1,4}).*").matcher(System.getProperty("os.version", ""));
        return version.matches()
                && Integer.parseInt(version.group(1)) * 10_000 + Integer.parseInt(version.group(2))
                        >= major * 10_000 + minor;
    }

    private static long deviceNumber(MemorySegment statx, int majorAt, int minorAt) {
        long major = Integer.toUnsignedLong(statx.get(ValueLayout.JAVA_INT, majorAt));
        long minor = Integer.toUnsignedLong(statx.get(ValueLayout.JAVA_INT, minorAt));
        return major << 8 | minor & 0xFF | (minor & 0xFFF00L) << 12; // linux/kdev_t.h, new_encode_dev
    }

    private static Kind kind(int mode) {
        return switch (mode & 0xF000) {
            case 0x8000 -> Kind.REGULAR;
            case 0x6000 -> Kind.BLOCK_DEVICE;
            case 0x4000 -> Kind.DIRECTORY;
            default -> Kind.OTHER;
        };
    }
}
