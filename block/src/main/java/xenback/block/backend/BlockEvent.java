package xenback.block.backend;

import java.util.Locale;

/**
 * What a block backend tells the world, in the words of xbdback(4) where it has words for it.
 */
public sealed interface BlockEvent {
    /** The interface, {@code xbdback<domid>i<vdev>}. */
    String name();

    /** The line to print and log. */
    String text();

    /**
     * The store is open.
     *
     * @param device what a person calls the store
     * @param sizeBytes its size; xbdback(4) says bytes, though NetBSD's code prints 512-byte blocks
     */
    record Attached(String name, String device, long sizeBytes, boolean readOnly, int domid, int vdev)
            implements BlockEvent {
        @Override
        public String text() {
            return String.format(
                    Locale.ROOT, "xbd backend: attach device %s (size %d) for domain %d", device, sizeBytes, domid);
        }
    }

    /**
     * The frontend and we are connected.
     *
     * @param port our event channel, of the first queue
     * @param protocol name of the ABI
     * @param queues how many rings there are
     */
    record Connected(String name, int vdev, int domid, int port, String protocol, int queues) implements BlockEvent {
        @Override
        public String text() {
            return String.format(
                    Locale.ROOT,
                    "xbd backend 0x%x for domain %d using event channel %d, protocol %s%s",
                    vdev,
                    domid,
                    port,
                    protocol,
                    queues == 1 ? "" : ", " + queues + " queues");
        }
    }

    /**
     * The store could not be opened.
     *
     * @param path the device's xenbus path
     * @param device number of the device, or of the file system that holds the file; 0 if there is none
     * @param errno 16 (EBUSY) when it is in use or mounted
     * @param why the same for a person, with the remedy
     */
    record CannotOpen(String name, String path, long device, int errno, String why) implements BlockEvent {
        @Override
        public String text() {
            return String.format(Locale.ROOT, "xbdback %s: can't VOP_OPEN device 0x%x: %d", path, device, errno);
        }
    }

    /** The store has another size than before, and the guest is told. */
    record Resized(String name, String device, long sizeBytes, int domid) implements BlockEvent {
        @Override
        public String text() {
            return String.format(
                    Locale.ROOT, "xbd backend: resize device %s (size %d) for domain %d", device, sizeBytes, domid);
        }
    }

    /**
     * The session has ended. The numbers are those of the device since it was attached.
     *
     * @param requests taken from its rings
     * @param events received from the frontend
     * @param notifications sent to it
     */
    record Disconnected(String name, int vdev, int domid, long requests, long events, long notifications)
            implements BlockEvent {
        @Override
        public String text() {
            return String.format(
                    Locale.ROOT,
                    "xbd backend 0x%x for domain %d disconnected: %d requests, %d events, %d notifications",
                    vdev,
                    domid,
                    requests,
                    events,
                    notifications);
        }
    }

    /** The store is given back; the line is NetBSD's, which its manual does not list. */
    record Detached(String name, String device, int domid) implements BlockEvent {
        @Override
        public String text() {
            return String.format(Locale.ROOT, "detach device %s for domain %d", device, domid);
        }
    }

    /** Is told. On a control thread of the device; must not block for long. */
    @FunctionalInterface
    interface Listener {
        void on(BlockEvent event);
    }
}
