package xenback.net.backend;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import xenback.net.link.Link;
import xenback.net.link.LinkQueue;
import xenback.net.packet.Mac;
import xenback.xen.Errno;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/** A link that gives back what was sent, and objects to being opened twice or used when it is closed. */
final class EchoLink implements Link {
    final List<String> faults = new ArrayList<>();
    boolean open;
    boolean carrier;
    boolean up = true;
    int mtu = 1500;
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
        return new EchoQueue();
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

    private final class EchoQueue implements LinkQueue {
        private final Queue<byte[]> frames = new ArrayDeque<>();
        private EventLoop loop;
        private Completion awaiting;
        private int tag;

        @Override
        public int receive(MemorySegment into, long offset, int capacity) {
            byte[] frame = frames.poll();
            if (frame == null) {
                return -Errno.EAGAIN.number();
            }
            int bytes = Math.min(frame.length, capacity);
            MemorySegment.copy(frame, 0, into, ValueLayout.JAVA_BYTE, offset, bytes);
            return bytes;
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            frames.add(from.asSlice(offset, bytes).toArray(ValueLayout.JAVA_BYTE));
            tell();
            return bytes;
        }

        @Override
        public void awaitFrame(EventLoop waiting, Completion done, int itsTag) {
            loop = waiting;
            awaiting = done;
            tag = itsTag;
            tell();
        }

        private void tell() {
            Completion told = awaiting;
            if (told != null && !frames.isEmpty()) {
                awaiting = null;
                loop.completeSoon(told, tag, EventLoop.POLLIN);
            }
        }

        @Override
        public void stopAwaiting(EventLoop waiting, Completion done, int itsTag) {
            awaiting = null;
            waiting.completeSoon(done, itsTag, -Errno.ECANCELED.number());
        }

        @Override
        public void setOffload(int mask) {}

        @Override
        public void close() {
            openQueues--;
        }
    }
}
