package xenback.net.link;

import java.lang.foreign.MemorySegment;
import xenback.xen.XenException;

/**
 * A link over which only finished frames go, with their checksums and no larger than the MTU, both ways: for what reads a TAP by
 * a packet socket and does not ask what is left undone, as Open vSwitch's datapath in user space.
 */
public final class FinishedLink extends LinkOver {
    public FinishedLink(Link next) {
        super(next);
    }

    @Override
    LinkQueue over(LinkQueue queue) {
        return new Queue(queue);
    }

    private static final class Queue extends QueueOver {
        private final Finisher finisher = new Finisher();
        private final Finisher.Sink sink; // one object, for none is allocated per frame

        Queue(LinkQueue next) {
            super(next);
            sink = (memory, offset, bytes) -> next.send(memory, offset, bytes) >= 0;
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            return Finisher.isFinishedFor(0, from, offset)
                    ? next.send(from, offset, bytes)
                    : finisher.finish(from, offset, bytes, sink);
        }

        /** Whatever this guest could take, the kernel finishes frames before it hands them over. */
        @Override
        public void setOffload(int mask) throws XenException {
            next.setOffload(0);
        }
    }
}
