package xenback.net.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.jspecify.annotations.Nullable;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetControl.Answer;
import xenback.net.protocol.NetControl.Message;
import xenback.net.protocol.NetRule;
import xenback.xen.event.EventStorm;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.ring.BackRing;

/**
 * A pair of rings, their event channels and a queue of the link, on one loop: the data path. Events and frames start a sweep
 * in each direction at the end of the loop's turn; what it answers goes out with one push and at most one notification for
 * each ring, large frames a burst at a time. While there is work the ports stay masked and the rings are looked at each turn.
 *
 * <p>Everything here runs on the loop's thread, except construction and {@link #isStalled}.
 */
final class NetQueue {
    /** How often the receive ring of a frontend is looked at that sends no events for new buffers, while frames wait. */
    private static final long POLL_FOR_BUFFERS_NANOS = 5_000_000;

    /** Frames wait no longer for such a frontend, as with Linux' xen-netback. */
    private static final long DRAIN_WITHOUT_EVENTS_NANOS = 30_000_000;

    /** The shortest wait for the rate limit: a timer allocates. */
    private static final long LEAST_THROTTLE_NANOS = 1_000_000;

    private final NetConnection connection;
    private final BackRing txRing;
    private final BackRing rxRing;
    private final NetCounters.Queue counters;
    private final TransmitPath transmit;
    private final ReceivePath receive;
    private final EventStorm storm = new EventStorm();
    private final int[] pendingPorts = new int[4];
    private final Completion onReadable = this::onReadable;
    private boolean masked;
    private boolean eventUnanswered;
    private boolean damped;
    private long dampedUntilNanos;
    private boolean listening; // to the link
    private boolean sweepAgain;
    private boolean ended;
    private boolean closed;
    private Runnable onIdle = () -> {};

    // A guest is stalled from the start, until it has posted its first buffers, and when it lets frames wait for long.
    private volatile boolean stalled;
    private long starvedSinceNanos;
    private boolean starved;
    private final LaterSweep pollLater = new LaterSweep();
    private final LaterSweep txThrottleEnd = new LaterSweep(); // one each: the other way's may be days off
    private final LaterSweep rxThrottleEnd = new LaterSweep();
    private @Nullable FrameHandover handover; // from before the begin on
    private final EventLoop.TurnEnd handed = new EventLoop.TurnEnd() {
        @Override
        protected void endTurn() {
            sweepAgain = true;
            finishTurn();
        }
    };
    private final EventLoop.TurnEnd turnEnd = new EventLoop.TurnEnd() {
        @Override
        protected void endTurn() {
            finishTurn();
        }
    };

    NetQueue(NetConnection connection, BackRing txRing, BackRing rxRing, NetCounters.Queue counters, Arena arena) {
        this.connection = connection;
        this.txRing = txRing;
        this.rxRing = rxRing;
        this.counters = counters;
        transmit = new TransmitPath(connection, txRing, counters, arena, this::onAllSent);
        receive = new ReceivePath(connection, rxRing, counters, arena);
        stalled = connection.stallNanos() > 0 && connection.kicks();
    }

    /** Has frames go to that queue of the interface which the guest's hash names. Before {@link #begin}. */
    void steer(List<NetQueue> all, int number, Arena arena) {
        FrameHandover mine = new FrameHandover(arena);
        handover = mine;
        receive.steer(all, number, mine);
    }

    /** Takes a frame from another queue's loop; false if there is no room. No allocation. */
    boolean hand(MemorySegment from, long at, int bytes) {
        FrameHandover mine = handover;
        if (mine == null || !mine.offer(from, at, bytes)) {
            return false;
        }
        connection.loop().signal(handed);
        return true;
    }

    EventLoop loop() {
        return connection.loop();
    }

    /** Any thread. */
    boolean isStalled() {
        return stalled;
    }

    /** Begins to serve. */
    void begin() {
        connection.events().listen(connection.loop(), turnEnd);
        receive.onLinkReadable();
        sweepAgain = true;
        connection.loop().atTurnEnd(turnEnd);
    }

    /** Takes nothing more, and calls {@code whenIdle} when the link's queue is not waited for any more and has sent all. */
    void drain(Runnable whenIdle) {
        ended = true;
        closed = true;
        onIdle = whenIdle;
        if (listening) {
            connection.link().stopAwaiting(connection.loop(), onReadable, 0);
        }
        endDrain();
    }

    private void endDrain() {
        if (!listening && !transmit.isSending()) {
            onIdle.run();
        }
    }

    /** What is due about once a second. */
    void keepHouse() {
        if (closed) {
            return;
        }
        long nowNanos = System.nanoTime();
        expire(nowNanos);
        boolean isLong = starved && nowNanos - starvedSinceNanos > connection.stallNanos();
        if (isLong && !stalled && connection.stallNanos() > 0 && connection.kicks()) {
            stalled = true;
            counters.stalls.add(1);
            connection.ties().changed();
        }
        connection.loop().atTurnEnd(turnEnd);
        sweepAgain = true;
    }

    private void expire(long nowNanos) {
        receive.expire(
                nowNanos,
                connection.kicks()
                        ? connection.drainNanos()
                        : Math.min(connection.drainNanos(), DRAIN_WITHOUT_EVENTS_NANOS));
    }

    /** Does what a control message wants of this queue's pages. */
    Answer stage(Message message, MemorySegment list) {
        StagedGrants staged = connection.staged();
        if (closed || staged == null) {
            return message.type() == NetControl.GET_GREF_MAPPING_SIZE ? Answer.SUCCESS : Answer.INVALID;
        }
        return switch (message.type()) {
            case NetControl.GET_GREF_MAPPING_SIZE -> Answer.of(staged.capacity());
            case NetControl.ADD_GREF_MAPPING -> staged.add(list, message.c());
            default -> staged.remove(list, message.c());
        };
    }

    private void onReadable(int tag, int result) {
        listening = false;
        if (closed) {
            endDrain();
            return;
        }
        receive.onLinkReadable();
        sweepAgain = true;
        connection.loop().atTurnEnd(turnEnd);
    }

    private void onAllSent() {
        if (closed) {
            endDrain();
            return;
        }
        sweepAgain = true;
        connection.loop().atTurnEnd(turnEnd);
    }

    private void finishTurn() {
        if (ended) {
            return;
        }
        long nowNanos = System.nanoTime();
        if (connection.events().takePending(pendingPorts) > 0) {
            counters.events.add(1);
            masked = true;
            eventUnanswered = true;
            sweepAgain = true;
        }
        if (damped && nowNanos - dampedUntilNanos >= 0) {
            damped = false;
            sweepAgain = true;
        }
        if (sweepAgain) {
            sweep(nowNanos);
        }
    }

    private void sweep(long nowNanos) {
        sweepAgain = false;
        boolean wasStarved = receive.isStarved();
        // In this order, for what the guest sends leaves with the turn's end: an acknowledgement that was taken first
        // would wait until all frames that go the other way are copied.
        int frames = receive.sweep(nowNanos);
        int requests = frames < 0 ? 0 : transmit.sweep(nowNanos);
        push();
        if (frames < 0) {
            breakReceiveRing();
        }
        ended |= requests < 0;
        if (ended) {
            return;
        }
        if (requests > 0 || frames > 0 && wasStarved) {
            eventUnanswered = false;
            storm.calm();
        }
        boolean more = requests > 0 || txRing.rearm();
        more |= awaitBuffers(nowNanos);
        if (ended) {
            return;
        }
        more |= receive.mayHaveFrames() && !receive.isStarved() && receive.throttledNanos() == 0;
        if (receive.isLinkEmpty() && !listening) {
            listening = true;
            connection.link().awaitFrame(connection.loop(), onReadable, 0);
        }
        throttle(transmit.throttledNanos(), txThrottleEnd);
        throttle(receive.throttledNanos(), rxThrottleEnd);
        if (more) {
            sweepAgain = true;
            connection.loop().atNextTurn(turnEnd);
        } else {
            unmask(nowNanos);
        }
    }

    /** Sees to it that buffers are noticed that frames wait for, or that end a stall. True if there are new ones already. */
    private boolean awaitBuffers(long nowNanos) {
        if (receive.isStarved() && !starved) {
            starvedSinceNanos = nowNanos;
        }
        starved = receive.isStarved();
        if (!starved && !stalled) {
            return false;
        }
        // If frames are starved, then as of the look that the sweep took: a newer one would hide from rearm what came
        // since.
        if (!starved && !rxRing.beginSweep()) {
            breakReceiveRing();
            return false;
        }
        if (stalled && !starved && rxRing.untaken() > 0) {
            stalled = false;
            connection.ties().changed();
            return false;
        }
        if (rxRing.rearm()) {
            return true;
        }
        if (starved && !connection.kicks()) {
            expire(nowNanos);
            pollLater.arm(POLL_FOR_BUFFERS_NANOS);
        }
        return false;
    }

    private void breakReceiveRing() {
        ended = true;
        transmit.breakRing(NetRule.RING_OVERFLOW, rxRing);
    }

    private void throttle(long nanos, LaterSweep end) {
        if (nanos > 0) {
            counters.throttled.add(end.arm(Math.max(nanos, LEAST_THROTTLE_NANOS)) ? 1 : 0);
        }
    }

    /** A sweep in some time, asked for once however often. */
    private final class LaterSweep extends EventLoop.TurnEnd {
        private boolean armed;

        boolean arm(long delayNanos) {
            if (armed) {
                return false;
            }
            armed = true;
            connection.loop().later(this, delayNanos);
            return true;
        }

        @Override
        protected void endTurn() {
            armed = false;
            sweepAgain = true;
            finishTurn();
        }
    }

    private void push() {
        boolean tx = txRing.push();
        boolean rx = rxRing.push();
        if (tx) {
            counters.notifications.add(1);
            connection.events().notifyPort(connection.txPort());
        }
        if (rx && !(tx && connection.rxPort() == connection.txPort())) {
            counters.notifications.add(1);
            connection.events().notifyPort(connection.rxPort());
        }
    }

    /** See BlockQueue: only after the sweep, and later for a guest that sends events in vain (XSA-332). */
    private void unmask(long nowNanos) {
        if (!masked || damped) {
            return;
        }
        long delayNanos = eventUnanswered ? storm.onVainEvent() : 0;
        eventUnanswered = false;
        if (delayNanos > 0) {
            counters.damped.add(1);
            damped = true;
            dampedUntilNanos = nowNanos + delayNanos;
            connection.loop().later(turnEnd, delayNanos);
            return;
        }
        masked = false;
        connection.events().unmask(connection.txPort());
        if (connection.rxPort() != connection.txPort()) {
            connection.events().unmask(connection.rxPort());
        }
    }

    /** The rings in words, for a person (dump_rings of FreeBSD's xnb). */
    @Override
    public String toString() {
        return "tx " + txRing + ", rx " + rxRing + (stalled ? ", stalled" : "");
    }
}
