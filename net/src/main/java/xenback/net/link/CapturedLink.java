package xenback.net.link;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.CopyOnWriteArrayList;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/** A link that {@link Capture}s can listen to, both ways, while it is in use. Nobody listens: one look at an array a frame. */
public final class CapturedLink extends LinkOver {
    private record Listener(Capture capture, int number) {}

    private static final Listener[] NOBODY = {};

    private final CopyOnWriteArrayList<Listener> all = new CopyOnWriteArrayList<>();
    private volatile Listener[] listeners = NOBODY;

    public CapturedLink(Link next) {
        super(next);
    }

    /** Has a capture get every frame from now on, as its interface of that number. */
    public synchronized void attach(Capture capture, int number) {
        all.add(new Listener(capture, number));
        listeners = all.toArray(NOBODY);
    }

    /** Ends that. */
    public synchronized void detach(Capture capture) {
        all.removeIf(listener -> listener.capture() == capture);
        listeners = all.toArray(NOBODY);
    }

    private void tell(Capture.Way way, MemorySegment memory, long offset, int bytes) {
        for (Listener listener : listeners) {
            listener.capture().put(listener.number(), way, memory, offset, bytes);
        }
    }

    @Override
    LinkQueue over(LinkQueue queue) {
        return new Queue(queue);
    }

    private final class Queue extends QueueOver {
        Queue(LinkQueue next) {
            super(next);
        }

        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            int bytes = next.receive(into, offset, capacity);
            if (bytes > 0) {
                tell(Capture.Way.OUT, into, offset, bytes);
            }
            return bytes;
        }

        /** Before the frame is handed on, for the link may finish it in place. */
        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            tell(Capture.Way.IN, from, offset, bytes);
            return next.send(from, offset, bytes);
        }

        @Override
        public int sendSoon(EventLoop loop, MemorySegment from, long offset, int bytes, Completion done, int tag) {
            tell(Capture.Way.IN, from, offset, bytes);
            return next.sendSoon(loop, from, offset, bytes, done, tag);
        }
    }
}
