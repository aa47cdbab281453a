package xenback.net.link;

import xenback.net.packet.Mac;
import xenback.xen.XenException;

/** An Ethernet device's other end. Any thread, but for its queues. */
public interface Link extends AutoCloseable {
    /** As it is known to its users, {@code xnb1i0}. */
    String name();

    /** Opens a queue, from 0; each is closed by whoever opened it. */
    LinkQueue openQueue(int number) throws XenException;

    /** Largest payload of a frame, without its Ethernet header, in bytes. */
    int mtu() throws XenException;

    void setMtu(int bytes) throws XenException;

    void setMac(Mac mac) throws XenException;

    /** Whether this end is switched on: the far end sees no carrier otherwise. */
    default boolean isUp() throws XenException {
        return true;
    }

    /** Whether the cable is plugged in at the far end. */
    void setCarrier(boolean on) throws XenException;

    @Override
    void close();
}
