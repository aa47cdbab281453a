package xenback.xen;

import java.io.IOException;

/**
 * A fault of the world below us: the hypervisor, a device node or a store refused what was asked. Control path only; the
 * data path carries statuses and negative errno values.
 */
public class XenException extends IOException {
    private static final long serialVersionUID = 1L;

    private final Errno errno;

    /** A refusal; {@code message} names the thing and, where there is one, the remedy. */
    public XenException(Errno errno, String message) {
        super(message);
        this.errno = errno;
    }

    /** A refusal with the failure that led to it. */
    public XenException(Errno errno, String message, Throwable cause) {
        super(message, cause);
        this.errno = errno;
    }

    /** The reason as a Linux error name. */
    public final Errno errno() {
        return errno;
    }
}
