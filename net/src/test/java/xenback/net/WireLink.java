package xenback.net;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import xenback.net.link.Link;
import xenback.net.link.LinkQueue;
import xenback.net.packet.Mac;
import xenback.xen.Errno;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/** A link in the hands of a test: what was sent is kept with its header, and what shall be received is put in. */
final class WireLink implements Link {
    private final String name;
    private final List<Wire> queues = new ArrayList<>();
    final List<Boolean> carriers = new CopyOnWriteArrayList<>();
    volatile int mtu = 1500;
    volatile boolean up = true;
    volatile boolean refuses;

    /** Frames are sent when {@link #release} says so, and not before. */
    volatile boolean holds;

    volatile int offload;

    WireLink(String name) {
        this.name = name;
        for (int i = 0; i < 4; i++) {
            queues.add(new Wire());
        }
    }

    /** Frames for the split driver, each behind its header. */
    void put(byte[]... headersAndFrames) {
        put(0, headersAndFrames);
    }

    void put(int queue, byte[]... headersAndFrames) {
        queues.get(queue).put(headersAndFrames);
    }

    /** What came through the split driver, by any queue. */
    List<byte[]> sent() {
        List<byte[]> all = new ArrayList<>();
        queues.forEach(queue -> all.addAll(queue.sent));
        return all;
    }

    List<byte[]> sent(int queue) {
        return queues.get(queue).sent;
    }

    /** How many frames are held. */
    int held() {
        return queues.stream().mapToInt(queue -> queue.held.size()).sum();
    }

    /** Sends what is held, as it lies in memory now. */
    void release() {
        queues.forEach(Wire::release);
    }

    /** How many frames were put in and not taken yet. */
    int unreceived() {
        return queues.stream().mapToInt(Wire::left).sum();
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public LinkQueue openQueue(int number) {
        return queues.get(number);
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
        carriers.add(on);
    }

    @Override
    public void close() {}

    private record Held(EventLoop loop, MemorySegment frame, Completion done, int tag) {}

    private final class Wire implements LinkQueue {
        private final Deque<byte[]> toReceive = new ArrayDeque<>();
        private final List<byte[]> sent = new CopyOnWriteArrayList<>();
        private final Queue<Held> held = new ConcurrentLinkedQueue<>();
        private EventLoop loop;
        private Completion done;
        private int tag;

        synchronized void put(byte[]... frames) {
            toReceive.addAll(List.of(frames));
            wake(EventLoop.POLLIN);
        }

        synchronized int left() {
            return toReceive.size();
        }

        private void wake(int result) {
            if (done != null) {
                Completion told = done;
                int itsTag = tag;
                done = null;
                loop.execute(() -> told.onCompletion(itsTag, result));
            }
        }

        @Override
        public synchronized int receive(MemorySegment into, long offset, int capacity) {
            byte[] frame = toReceive.poll();
            if (frame == null) {
                return -Errno.EAGAIN.number();
            }
            int bytes = Math.min(frame.length, capacity);
            MemorySegment.copy(frame, 0, into, ValueLayout.JAVA_BYTE, offset, bytes);
            return bytes;
        }

        private void release() {
            for (Held frame = held.poll(); frame != null; frame = held.poll()) {
                Held released = frame;
                int result = send(released.frame(), 0, (int) released.frame().byteSize());
                released.loop().execute(() -> released.done().onCompletion(released.tag(), result));
            }
        }

        @Override
        public int sendSoon(EventLoop loop, MemorySegment from, long offset, int bytes, Completion done, int tag) {
            if (!holds) {
                return send(from, offset, bytes);
            }
            held.add(new Held(loop, from.asSlice(offset, bytes), done, tag));
            return SOON;
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            if (refuses) {
                return -Errno.EIO.number();
            }
            sent.add(from.asSlice(offset, bytes).toArray(ValueLayout.JAVA_BYTE));
            return bytes;
        }

        @Override
        public synchronized void awaitFrame(EventLoop waiting, Completion told, int itsTag) {
            loop = waiting;
            done = told;
            tag = itsTag;
            if (!toReceive.isEmpty()) {
                wake(EventLoop.POLLIN);
            }
        }

        @Override
        public synchronized void stopAwaiting(EventLoop waiting, Completion told, int itsTag) {
            wake(-Errno.ECANCELED.number());
        }

        @Override
        public void setOffload(int mask) {
            offload = mask;
        }

        @Override
        public void close() {}
    }
}
