package xenback.net.link;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.CopyOnWriteArrayList;
import xenback.net.packet.Mac;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/** A link that {@link Capture}s can listen to, both ways, while it is in use. Nobody listens: one look at an array a frame. */
public final class CapturedLink implements Link {
    private record Listener(Capture capture, int number) {}

    private static final Listener[] NOBODY = {};

    private final Link next;
    private final CopyOnWriteArrayList<Listener> all = new CopyOnWriteArrayList<>();
    private volatile Listener[] listeners = NOBODY;

    public CapturedLink(Link next) {
        this.next = next;
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

    private final class Queue implements LinkQueue {
        private final LinkQueue queue;

        Queue(LinkQueue queue) {
            this.queue = queue;
        }

        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            int bytes = queue.receive(into, offset, capacity);
            if (bytes > 0) {
                tell(Capture.Way.OUT, into, offset, bytes);
            }
            return bytes;
        }

        /** Before the frame is handed on, for the link may finish it in place. */
        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            tell(Capture.Way.IN, from, offset, bytes);
            return queue.send(from, offset, bytes);
        }

        @Override
        public void awaitFrame(EventLoop loop, Completion done, int tag) {
            queue.awaitFrame(loop, done, tag);
        }

        @Override
        public void stopAwaiting(EventLoop loop, Completion done, int tag) {
            queue.stopAwaiting(loop, done, tag);
        }

        @Override
        public void setOffload(int mask) throws XenException {
            queue.setOffload(mask);
        }

        @Override
        public void close() {
            queue.close();
        }
    }
}
