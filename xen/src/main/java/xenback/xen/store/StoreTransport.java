package xenback.xen.store;

import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * How messages reach the daemon: a unix socket, or a device that forwards them. One thread receives while any thread
 * sends, one at a time. Everything throws IOException once the way to the daemon is lost or closed.
 */
interface StoreTransport extends AutoCloseable {
    /** Longest body of a request: 4096 on a socket, 4080 on /dev/xen/xenbus, whose buffer includes the header. */
    int maxBodyBytes();

    /** Most requests that may be without an answer at once; at least 1. More are not sent before one of them is answered. */
    int maxInFlight();

    /**
     * Sends one whole message in one write, as the device demands. An interrupt of the calling thread does no harm.
     *
     * @throws StoreException if this message alone was refused (the device refuses a watch so) and the way is still good
     */
    void send(ByteBuffer message) throws IOException;

    /** Waits for bytes and puts them into the buffer, which has room. Returns their count, -1 at the end. */
    int receive(ByteBuffer into) throws IOException;

    /** Wakes who waits inside; they see an IOException. */
    @Override
    void close();

    /** Opens a fresh way to the daemon, at first and after each loss. */
    @FunctionalInterface
    interface Opener {
        StoreTransport open() throws IOException;
    }
}
