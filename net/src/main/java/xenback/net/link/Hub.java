package xenback.net.link;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Joins links: what comes in at one goes out at all others, as from an Ethernet hub, without the kernel. What a frame leaves
 * undone stays so for those that take it and is done for the others. A link that does not take its frames loses them.
 */
public final class Hub {
    private static final Port[] NONE = {};

    private final AtomicLong lost = new AtomicLong();
    private volatile Port[] ports = NONE;

    /** Plugs a new link in; its {@link Link#close} pulls it out. */
    public Link plug(String name) {
        Port port = new Port(name, this);
        synchronized (this) {
            ports = Arrays.copyOf(ports, ports.length + 1);
            ports[ports.length - 1] = port;
        }
        return port;
    }

    /** Frames that a link had no room for, or that could not be finished for it. */
    public long lost() {
        return lost.get();
    }

    private synchronized void pull(Port gone) {
        ports = Arrays.stream(ports).filter(port -> port != gone).toArray(Port[]::new);
    }

    /** One link. */
    static final class Port extends SoftLink {
        private static final Queue[] CLOSED = {};

        private final Hub hub;
        private volatile Queue[] queues = CLOSED;

        Port(String name, Hub hub) {
            super(name);
            this.hub = hub;
        }

        @Override
        public synchronized LinkQueue openQueue(int number) {
            Queue queue = new Queue(this, number);
            Queue[] more = Arrays.copyOf(queues, queues.length + 1);
            more[queues.length] = queue;
            queues = more;
            return queue;
        }

        private synchronized void closed(Queue gone) {
            queues = Arrays.stream(queues).filter(queue -> queue != gone).toArray(Queue[]::new);
        }

        /** The queue for frames of a sender's queue: one flow stays on one. */
        private @Nullable Queue queueFor(int number) {
            Queue[] open = queues;
            return open.length == 0 ? null : open[number % open.length];
        }

        @Override
        public void close() {
            hub.pull(this);
        }
    }

    private static final class Queue extends Inbox {
        private final Port port;
        private final int number;
        private final Finisher finisher = new Finisher();

        Queue(Port port, int number) {
            this.port = port;
            this.number = number;
        }

        @Override
        public int send(MemorySegment from, long offset, int bytes) {
            for (Port other : port.hub.ports) {
                Queue target = other == port ? null : other.queueFor(number);
                if (target != null && !sendTo(target, from, offset, bytes)) {
                    port.hub.lost.incrementAndGet();
                }
            }
            return bytes;
        }

        private boolean sendTo(Queue target, MemorySegment from, long offset, int bytes) {
            return Finisher.isFinishedFor(target.offload(), from, offset)
                    ? target.deliver(from, offset, bytes)
                    : finisher.finish(from, offset, bytes, target.sink) >= 0;
        }

        private final Finisher.Sink sink = this::deliver;

        @Override
        public void close() {
            super.close();
            port.closed(this);
        }
    }
}
