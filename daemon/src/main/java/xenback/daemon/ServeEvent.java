package xenback.daemon;

import java.util.List;
import xenback.block.protocol.Vdev;

/** What happens while disks are served, for people and for programs. */
sealed interface ServeEvent {
    /**
     * A device appeared in the backend.
     *
     * @param interfaceName such as {@code xbdback1i51712}
     * @param disk what a person calls the store
     */
    record Attached(String interfaceName, int domid, Vdev vdev, String disk, long sizeBytes, boolean readOnly)
            implements ServeEvent {}

    /** Both ends agreed, on so many rings. {@code abi} is the value of the xenstore key {@code protocol}. */
    record Connected(String interfaceName, int domid, Vdev vdev, int port, String abi, int queues)
            implements ServeEvent {}

    /** A store has another size than before, and its guest is told. */
    record Resized(String interfaceName, int domid, String disk, long sizeBytes) implements ServeEvent {}

    /**
     * A guest's disk can be reached by tools.
     *
     * @param name the frontend's name of it, such as {@code xbd0}
     */
    record Export(String name, String interfaceName, Vdev vdev, int domid, long sizeBytes, boolean readOnly, String uri)
            implements ServeEvent {}

    /** An interface appeared in the backend; what the backend's end is called. */
    record NicAttached(String interfaceName, int domid, String link) implements ServeEvent {}

    /** Both ends of an interface agreed, on so many pairs of rings. */
    record NicConnected(String interfaceName, int domid, int port, int queues) implements ServeEvent {}

    /** A guest takes frames, or does so no longer. */
    record NicCarrier(String interfaceName, int domid, boolean on) implements ServeEvent {}

    /**
     * A guest's interface can be used.
     *
     * @param name the frontend's name of it, and of its TAP, such as {@code xn0}
     * @param where what the backend's end leads to
     * @param namespace the network namespace of the guest's end; empty for our own
     * @param addresses of the guest's end
     */
    record Cable(
            String name,
            String interfaceName,
            int domid,
            String mac,
            int mtu,
            String where,
            String namespace,
            List<String> addresses)
            implements ServeEvent {}

    /** What went through since the last one. */
    record Status(List<DiskRate> disks, List<NicTraffic> nics) implements ServeEvent {}

    /** A device is gone from the backend. */
    record Detached(String interfaceName, int domid) implements ServeEvent {}

    /** Something failed; the message is one line. */
    record Failed(String message) implements ServeEvent {}

    /** All is drained and closed; nothing follows. */
    record Stopped() implements ServeEvent {}
}
