package xenback.net.backend;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.ToLongFunction;
import xenback.net.protocol.NetRule;
import xenback.xen.io.Counter;

/**
 * What an interface has counted since it was attached, over all its connections. Each queue's numbers have one writer; any
 * thread may read. "tx" is from the guest, "rx" to it.
 */
public final class NetCounters {
    private final List<Queue> queues = new CopyOnWriteArrayList<>();

    NetCounters() {}

    /** The numbers of one queue. */
    public static final class Queue {
        private static final long LOG_INTERVAL_NANOS = TimeUnit.SECONDS.toNanos(1);

        final Counter txPackets = new Counter();
        final Counter txBytes = new Counter();
        final Counter rxPackets = new Counter();
        final Counter rxBytes = new Counter();
        final Counter events = new Counter();
        final Counter notifications = new Counter();
        final Counter damped = new Counter();
        final Counter throttled = new Counter();
        final Counter stalls = new Counter();
        private final Counter[] violations = counters(NetRule.count());
        private final Counter[] drops = counters(NetDrop.count());

        /** Kept with the interface, or a guest that reconnects would begin with a fresh limit. */
        private long nextLogNanos = System.nanoTime();

        private static Counter[] counters(int count) {
            Counter[] made = new Counter[count];
            for (int i = 0; i < count; i++) {
                made[i] = new Counter();
            }
            return made;
        }

        /** Has nothing logged: for the unit suite, whose violations are meant. */
        void hush() {
            nextLogNanos = System.nanoTime() + Long.MAX_VALUE / 2;
        }

        /** Counts a violation; true if it may be logged: a line per second (XSA-43). */
        boolean violation(NetRule rule, long nowNanos) {
            violations[rule.index()].add(1);
            if (nowNanos - nextLogNanos < 0) {
                return false;
            }
            nextLogNanos = nowNanos + LOG_INTERVAL_NANOS;
            return true;
        }

        void drop(NetDrop reason) {
            drops[reason.index()].add(1);
        }

        public long txPackets() {
            return txPackets.value();
        }

        public long txBytes() {
            return txBytes.value();
        }

        public long rxPackets() {
            return rxPackets.value();
        }

        public long rxBytes() {
            return rxBytes.value();
        }

        public long violations(NetRule rule) {
            return violations[rule.index()].value();
        }

        public long drops(NetDrop reason) {
            return drops[reason.index()].value();
        }
    }

    /** The counters of a queue, the same ones for every connection. On the device's control thread. */
    Queue queue(int number) {
        while (queues.size() <= number) {
            queues.add(new Queue());
        }
        return queues.get(number);
    }

    /** Of each queue that there ever was. */
    public List<Queue> queues() {
        return List.copyOf(queues);
    }

    private long sum(ToLongFunction<Queue> number) {
        return queues.stream().mapToLong(number).sum();
    }

    /** Packets from the guest that went to the link. */
    public long txPackets() {
        return sum(Queue::txPackets);
    }

    public long txBytes() {
        return sum(Queue::txBytes);
    }

    /** Packets that the guest has got. */
    public long rxPackets() {
        return sum(Queue::rxPackets);
    }

    public long rxBytes() {
        return sum(Queue::rxBytes);
    }

    /** Packets that were dropped for one reason. */
    public long drops(NetDrop reason) {
        return sum(queue -> queue.drops(reason));
    }

    /** Packets to the guest that were dropped, but for those that are none of its business. */
    public long rxDropped() {
        return drops(NetDrop.NO_BUFFERS)
                + drops(NetDrop.BAD_GRANT)
                + drops(NetDrop.BAD_LENGTH)
                + drops(NetDrop.NOT_SEGMENTABLE)
                + drops(NetDrop.QUEUE_FULL);
    }

    /** Packets from the guest that the link did not take. */
    public long txRefused() {
        return drops(NetDrop.LINK_REFUSED);
    }

    /** How often a rule was broken. */
    public long violations(NetRule rule) {
        return sum(queue -> queue.violations(rule));
    }

    /** Events received from the frontend. */
    public long events() {
        return sum(queue -> queue.events.value());
    }

    /** How often a port stayed masked for a time, because events came without requests (XSA-332). */
    public long damped() {
        return sum(queue -> queue.damped.value());
    }

    /** Events sent to the frontend. */
    public long notifications() {
        return sum(queue -> queue.notifications.value());
    }

    /** How often a queue waited for its rate limit. */
    public long throttled() {
        return sum(queue -> queue.throttled.value());
    }

    /** How often the guest was found stalled: frames waited, and it posted no buffers. */
    public long stalls() {
        return sum(queue -> queue.stalls.value());
    }
}
