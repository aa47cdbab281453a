package xenback.block.backend;

import xenback.xen.XenException;
import xenback.xen.io.EventLoop;

/** Where a session's queue gets its loop from. */
@FunctionalInterface
public interface LoopSource {
    /**
     * A loop for one session.
     *
     * @param shared others live on it, and its owner closes it after the session; else the session does
     */
    record Lease(EventLoop loop, boolean shared) {}

    /** @param interfaceName the device's, {@code xbdback1i51712} */
    Lease take(String interfaceName) throws XenException;

    /** A loop of its own for every session: on a host, where the other end is in another domain. */
    static LoopSource own(EventLoop.Engine engine) {
        return name -> new Lease(EventLoop.start(name, engine), false);
    }
}
