package xenback.net.link;

import java.lang.foreign.MemorySegment;
import xenback.xen.Errno;

/** Sends every frame back on the queue that it came from. */
public final class LoopLink extends SoftLink {
    public LoopLink(String name) {
        super(name);
    }

    @Override
    public LinkQueue openQueue(int number) {
        return new Queue();
    }

    @Override
    public void close() {}

    private static final class Queue extends Inbox {
        private final Finisher finisher = new Finisher();
        private final Finisher.Sink sink = this::deliver;

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            if (!Finisher.isFinishedFor(offload(), from, offset)) {
                return finisher.finish(from, offset, bytes, sink);
            }
            return deliver(from, offset, bytes) ? bytes : -Errno.EAGAIN.number();
        }
    }
}
