package xenback.block.backend;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.ToLongFunction;
import xenback.block.protocol.Rule;

/**
 * What a device has done since it was attached, over all its queues and connections. Readable by any thread; each number is
 * exact for a moment of its own.
 */
public final class BlockCounters {
    private final List<QueueCounters> queues = new CopyOnWriteArrayList<>();

    BlockCounters() {}

    /** The counters of a queue, the same ones for every connection. On the device's control thread. */
    QueueCounters queue(int number) {
        while (queues.size() <= number) {
            queues.add(new QueueCounters());
        }
        return queues.get(number);
    }

    /** Requests taken from the rings, good and bad. */
    public long requests() {
        return sum(queue -> queue.taken.value());
    }

    /** Read requests answered with success, the indirect ones among them. */
    public long reads() {
        return sum(queue -> queue.reads.value());
    }

    /** Write requests answered with success, the indirect ones among them. */
    public long writes() {
        return sum(queue -> queue.writes.value());
    }

    /** Flushes answered with success. */
    public long flushes() {
        return sum(queue -> queue.flushes.value());
    }

    /** Write barriers answered with success. */
    public long barriers() {
        return sum(queue -> queue.barriers.value());
    }

    /** Discards answered with success. */
    public long discards() {
        return sum(queue -> queue.discards.value());
    }

    /** Indirect requests taken. */
    public long indirect() {
        return sum(queue -> queue.indirect.value());
    }

    public long bytesRead() {
        return sum(queue -> queue.bytesRead.value());
    }

    /** Bytes of writes, barriers and flushes with payload. */
    public long bytesWritten() {
        return sum(queue -> queue.bytesWritten.value());
    }

    public long bytesDiscarded() {
        return sum(queue -> queue.bytesDiscarded.value());
    }

    /** Requests that the disk failed. */
    public long errors() {
        return sum(queue -> queue.errors.value());
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

    /** Requests that had to wait for memory. */
    public long parked() {
        return sum(queue -> queue.parked.value());
    }

    /** Pages of the guest that are mapped to stay, as of the last second. */
    public long persistentPages() {
        return sum(queue -> queue.persistentPages.value());
    }

    /** Requests taken from the rings and not answered yet. */
    public long inFlight() {
        long answeredBefore = sum(queue -> queue.answered.value()); // read first, so that no difference is negative
        return sum(queue -> queue.taken.value()) - answeredBefore;
    }

    /** Requests that broke a rule. */
    public long violations(Rule rule) {
        return sum(queue -> queue.violations(rule));
    }

    private long sum(ToLongFunction<QueueCounters> counter) {
        return queues.stream().mapToLong(counter).sum();
    }
}
