package xenback.xen.store;

import xenback.xen.Errno;
import xenback.xen.XenException;

/** The store refused, or is gone (EIO). */
public final class StoreException extends XenException {
    private static final long serialVersionUID = 1L;

    public StoreException(Errno errno, String what) {
        super(errno, "xenstore: " + what + ": " + errno);
    }

    public StoreException(Errno errno, String what, Throwable cause) {
        super(errno, "xenstore: " + what + ": " + errno, cause);
    }
}
