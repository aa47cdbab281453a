package xenback.xen.io;

import xenback.xen.XenException;

/** Where a session's queues get their loops from. */
@FunctionalInterface
public interface LoopSource {
    /**
     * A loop for one queue.
     *
     * @param shared others live on it, and its owner closes it after the session; else the session does
     */
    record Lease(EventLoop loop, boolean shared) {}

    /**
     * @param interfaceName the device's, {@code xbdback1i51712}
     * @param queue the number of the queue, from 0
     */
    Lease take(String interfaceName, int queue) throws XenException;

    /** A loop of its own for every queue: on a host, where the other end is in another domain. */
    static LoopSource own(EventLoop.Engine engine) {
        return (name, queue) -> new Lease(EventLoop.start(queue == 0 ? name : name + "-" + queue, engine), false);
    }
}
