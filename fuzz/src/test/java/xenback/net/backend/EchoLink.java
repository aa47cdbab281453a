package xenback.net.backend;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import xenback.net.link.Link;
import xenback.net.link.LinkQueue;
import xenback.net.link.LoopLink;
import xenback.net.packet.Mac;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/** A link that gives back what was sent, and objects to being opened twice or used when it is closed. */
final class EchoLink implements Link {
    final List<String> faults = new ArrayList<>();
    boolean open;
    boolean carrier;
    boolean up = true;
    int mtu = 1500;
    private final LoopLink loop = new LoopLink("echo");
    private int openQueues;

    Link opened() {
        check(!open, "the link is opened twice");
        open = true;
        return this;
    }

    private void check(boolean good, String fault) {
        if (!good) {
            faults.add(fault);
        }
    }

    @Override
    public String name() {
        return "echo";
    }

    @Override
    public LinkQueue openQueue(int number) {
        check(open, "a queue of a closed link is opened");
        check(number == openQueues, "queue " + number + " is opened with " + openQueues + " open");
        openQueues++;
        return new CountedQueue();
    }

    @Override
    public int mtu() {
        return mtu;
    }

    @Override
    public void setMtu(int bytes) {
        mtu = bytes;
    }

    @Override
    public void setMac(Mac mac) {}

    @Override
    public boolean isUp() {
        return up;
    }

    @Override
    public void setCarrier(boolean on) {
        check(open, "the carrier of a closed link");
        carrier = on;
    }

    @Override
    public void close() {
        check(open, "the link is closed twice");
        check(openQueues == 0, "the link is closed under " + openQueues + " queues");
        open = false;
    }

    /** A queue that tells of its end. */
    private final class CountedQueue implements LinkQueue {
        private final LinkQueue frames = loop.openQueue(0);

        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            return frames.receive(into, offset, capacity);
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            return frames.send(from, offset, bytes);
        }

        @Override
        public void awaitFrame(EventLoop waiting, Completion done, int tag) {
            frames.awaitFrame(waiting, done, tag);
        }

        @Override
        public void stopAwaiting(EventLoop waiting, Completion done, int tag) {
            frames.stopAwaiting(waiting, done, tag);
        }

        @Override
        public void setOffload(int mask) throws XenException {
            frames.setOffload(mask);
        }

        @Override
        public void close() {
            frames.close();
            openQueues--;
        }
    }
}
