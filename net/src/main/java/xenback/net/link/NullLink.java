package xenback.net.link;

import java.lang.foreign.MemorySegment;
import xenback.xen.Errno;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/** Takes every frame and keeps none. */
public final class NullLink extends SoftLink {
    public NullLink(String name) {
        super(name);
    }

    @Override
    public LinkQueue openQueue(int number) {
        return new Queue();
    }

    @Override
    public void close() {}

    private static final class Queue implements LinkQueue {
        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            return -Errno.EAGAIN.number();
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            return bytes;
        }

        @Override
        public void awaitFrame(EventLoop loop, Completion done, int tag) {
            // None will ever come.
        }

        @Override
        public void setOffload(int mask) {}

        @Override
        public void close() {}
    }
}
