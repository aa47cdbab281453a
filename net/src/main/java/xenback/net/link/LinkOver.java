package xenback.net.link;

import java.lang.foreign.MemorySegment;
import xenback.net.packet.Mac;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/**
 * A link that does something to the frames of another one, and is that one in all else. Closes it: whoever is given this link
 * need not know of the other.
 */
abstract sealed class LinkOver implements Link permits FinishedLink, CapturedLink {
    private final Link next;

    LinkOver(Link next) {
        this.next = next;
    }

    @Override
    public final LinkQueue openQueue(int number) throws XenException {
        return over(next.openQueue(number));
    }

    /** The queue that stands before one of the other link's. */
    abstract LinkQueue over(LinkQueue queue);

    @Override
    public final String name() {
        return next.name();
    }

    @Override
    public final int mtu() throws XenException {
        return next.mtu();
    }

    @Override
    public final void setMtu(int bytes) throws XenException {
        next.setMtu(bytes);
    }

    @Override
    public final void setMac(Mac mac) throws XenException {
        next.setMac(mac);
    }

    @Override
    public final boolean isUp() throws XenException {
        return next.isUp();
    }

    @Override
    public final void setCarrier(boolean on) throws XenException {
        next.setCarrier(on);
    }

    @Override
    public final void close() {
        next.close();
    }

    /** Hands everything on; subclasses change what they are for. */
    abstract static class QueueOver implements LinkQueue {
        final LinkQueue next;

        QueueOver(LinkQueue next) {
            this.next = next;
        }

        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            return next.receive(into, offset, capacity);
        }

        @Override
        public abstract int send(MemorySegment from, long offset, int bytes);

        @Override
        public final void awaitFrame(EventLoop loop, Completion done, int tag) {
            next.awaitFrame(loop, done, tag);
        }

        @Override
        public final void stopAwaiting(EventLoop loop, Completion done, int tag) {
            next.stopAwaiting(loop, done, tag);
        }

        @Override
        public void setOffload(int mask) throws XenException {
            next.setOffload(mask);
        }

        @Override
        public final void close() {
            next.close();
        }
    }
}
