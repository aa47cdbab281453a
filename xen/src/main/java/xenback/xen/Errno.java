package xenback.xen;

/**
 * Linux error numbers that cross a layer here (asm-generic/errno-base.h and errno.h, x86-64 and arm64). XenStore sends
 * the names on the wire, xbdback(4) prints the numbers.
 */
public enum Errno {
    EPERM(1),
    ENOENT(2),
    EINTR(4),
    EIO(5),
    ENXIO(6),
    E2BIG(7),
    EBADF(9),
    EAGAIN(11),
    ENOMEM(12),
    EACCES(13),
    EFAULT(14),
    EBUSY(16),
    EEXIST(17),
    ENODEV(19),
    ENOTDIR(20),
    EISDIR(21),
    EINVAL(22),
    ENFILE(23),
    EMFILE(24),
    ENOTTY(25),
    ETXTBSY(26),
    EFBIG(27),
    ENOSPC(28),
    EROFS(30),
    EPIPE(32),
    ENOSYS(38),
    ENOTEMPTY(39),
    EOVERFLOW(75),
    EMEDIUMTYPE(124),
    EOPNOTSUPP(95),
    EADDRINUSE(98),
    EADDRNOTAVAIL(99),
    ECONNRESET(104),
    EISCONN(106),
    ENOTCONN(107),
    ECANCELED(125),
    /** Any number that has no name above. */
    UNKNOWN(0);

    private static final Errno[] VALUES = values();

    private final int number;

    Errno(int number) {
        this.number = number;
    }

    /** The positive number, 0 for {@link #UNKNOWN}. */
    public int number() {
        return number;
    }

    /** The constant for a positive errno, {@link #UNKNOWN} for one that has no name here. */
    public static Errno of(int number) {
        for (Errno errno : VALUES) {
            if (errno.number == number) {
                return errno;
            }
        }
        return UNKNOWN;
    }

    /** The constant of that name, {@link #UNKNOWN} if there is none (peers append new names). */
    public static Errno of(String name) {
        for (Errno errno : VALUES) {
            if (errno.name().equals(name)) {
                return errno;
            }
        }
        return UNKNOWN;
    }
}
