package xenback.net.link;

import java.lang.foreign.MemorySegment;
import xenback.net.packet.Mac;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/**
 * A link over which only finished frames go, with their checksums and no larger than the MTU, both ways: for what reads a TAP by
 * a packet socket and does not ask what is left undone, as Open vSwitch's datapath in user space. Closed by whoever closes the
 * other.
 */
public final class FinishedLink implements Link {
    private final Link next;

    public FinishedLink(Link next) {
        this.next = next;
    }

    @Override
    public String name() {
        return next.name();
    }

    @Override
    public LinkQueue openQueue(int number) throws XenException {
        return new Queue(next.openQueue(number));
    }

    @Override
    public int mtu() throws XenException {
        return next.mtu();
    }

    @Override
    public void setMtu(int bytes) throws XenException {
        next.setMtu(bytes);
    }

    @Override
    public void setMac(Mac mac) throws XenException {
        next.setMac(mac);
    }

    @Override
    public boolean isUp() throws XenException {
        return next.isUp();
    }

    @Override
    public void setCarrier(boolean on) throws XenException {
        next.setCarrier(on);
    }

    @Override
    public void close() {
        next.close();
    }

    private static final class Queue implements LinkQueue {
        private final LinkQueue next;
        private final Finisher finisher = new Finisher();
        private final Finisher.Sink sink; // one object, for none is allocated per frame

        Queue(LinkQueue next) {
            this.next = next;
            sink = (memory, offset, bytes) -> next.send(memory, offset, bytes) >= 0;
        }

        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            return next.receive(into, offset, capacity);
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            return Finisher.isFinishedFor(0, from, offset)
                    ? next.send(from, offset, bytes)
                    : finisher.finish(from, offset, bytes, sink);
        }

        @Override
        public void awaitFrame(EventLoop loop, Completion done, int tag) {
            next.awaitFrame(loop, done, tag);
        }

        @Override
        public void stopAwaiting(EventLoop loop, Completion done, int tag) {
            next.stopAwaiting(loop, done, tag);
        }

        /** Whatever this guest could take, the kernel finishes frames before it hands them over. */
        @Override
        public void setOffload(int mask) throws XenException {
            next.setOffload(0);
        }

        @Override
        public void close() {
            next.close();
        }
    }
}
