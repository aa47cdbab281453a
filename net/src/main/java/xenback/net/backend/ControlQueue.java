package xenback.net.backend;

import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetControl.Answer;
import xenback.net.protocol.NetControl.Message;
import xenback.net.protocol.NetRule;
import xenback.xen.event.EventChannels;
import xenback.xen.event.EventStorm;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantCopyBatch.Direction;
import xenback.xen.grant.GrantTable;
import xenback.xen.io.EventLoop;
import xenback.xen.ring.BackRing;

/**
 * The control ring of an interface (netif.h): one message after another, on the loop of the first queue; what concerns the
 * pages of another queue is done on that queue's loop. Messages are rare, so that they may allocate.
 */
final class ControlQueue {
    private static final System.Logger LOG = System.getLogger(ControlQueue.class.getName());
    private static final int PAGE_BYTES = 4096;

    /** Messages of one turn of the loop, so that a guest that sends nothing else holds nobody up. */
    private static final int BURST = 16;

    private final NetConnection connection;
    private final EventChannels events;
    private final int port;
    private final BackRing ring;
    private final GrantTable grants;
    private final List<NetQueue> queues;
    private final HashControl hash;
    private final MemorySegment slot;
    private final MemorySegment page;
    private final GrantCopyBatch fromGuest = new GrantCopyBatch(Direction.FROM_GUEST, 1);
    private final GrantCopyBatch toGuest = new GrantCopyBatch(Direction.TO_GUEST, 1);
    private final EventStorm storm = new EventStorm();
    private final int[] pendingPorts = new int[2];
    private boolean masked;
    private boolean ended;

    /** A message is being worked off on another loop. */
    private boolean busy;

    private Runnable onIdle = () -> {};
    private final EventLoop.TurnEnd turnEnd = new EventLoop.TurnEnd() {
        @Override
        protected void endTurn() {
            sweep();
        }
    };

    /**
     * @param connection of the first queue
     * @param events a set that holds {@code port} alone
     * @param grants used on this loop alone
     */
    ControlQueue(
            NetConnection connection,
            EventChannels events,
            int port,
            BackRing ring,
            GrantTable grants,
            List<NetQueue> queues,
            Arena arena) {
        this.connection = connection;
        this.events = events;
        this.port = port;
        this.ring = ring;
        this.grants = grants;
        this.queues = List.copyOf(queues);
        slot = arena.allocate(NetControl.SLOT_BYTES, 8);
        page = arena.allocate(PAGE_BYTES, 8);
        hash = new HashControl(this::read, page, queues.size());
    }

    void begin() {
        events.listen(connection.loop(), turnEnd);
        connection.loop().atTurnEnd(turnEnd);
    }

    /** Takes nothing more, and calls {@code whenIdle} when no message is being worked off. */
    void drain(Runnable whenIdle) {
        ended = true;
        if (busy) {
            onIdle = whenIdle;
        } else {
            whenIdle.run();
        }
    }

    private void sweep() {
        if (ended) {
            return;
        }
        boolean event = events.takePending(pendingPorts) > 0;
        masked |= event;
        if (busy) {
            return;
        }
        if (!ring.beginSweep()) {
            ended = true;
            connection
                    .ties()
                    .broken(connection.name() + ": domain " + connection.guestDomid() + " broke its control ring ("
                            + NetRule.RING_OVERFLOW + "): " + ring);
            return;
        }
        int done = 0;
        while (!busy && done < BURST && ring.takeRequest(slot)) {
            done++;
            take(Message.read(slot));
        }
        push();
        if (busy) {
            return; // the answer goes on with it
        }
        if (done > 0) {
            storm.calm();
            connection.loop().atNextTurn(turnEnd);
        } else if (ring.rearm()) {
            connection.loop().atNextTurn(turnEnd);
        } else if (masked) {
            masked = false;
            long delayNanos = event ? storm.onVainEvent() : 0;
            if (delayNanos > 0) {
                connection.loop().later(unmask, delayNanos);
            } else {
                events.unmask(port);
            }
        }
    }

    private final EventLoop.TurnEnd unmask = new EventLoop.TurnEnd() {
        @Override
        protected void endTurn() {
            if (!ended) {
                events.unmask(ControlQueue.this.port);
            }
        }
    };

    private void take(Message message) {
        switch (message.type()) {
            case NetControl.GET_GREF_MAPPING_SIZE, NetControl.ADD_GREF_MAPPING, NetControl.DEL_GREF_MAPPING -> {
                if (Integer.compareUnsigned(message.a(), queues.size()) >= 0) {
                    answer(message, Answer.INVALID);
                } else {
                    stage(message, queues.get(message.a()));
                }
            }
            default -> answer(message, hash.answer(message, connection.policy()));
        }
    }

    private void stage(Message message, NetQueue queue) {
        int count = message.c();
        boolean isList = message.type() != NetControl.GET_GREF_MAPPING_SIZE;
        if (isList && Integer.compareUnsigned(count, PAGE_BYTES / NetControl.GRANT_BYTES) > 0) {
            answer(message, Answer.OVERFLOW);
            return;
        }
        if (isList && count > 0 && !read(message.b(), page, count * NetControl.GRANT_BYTES)) {
            answer(message, Answer.INVALID);
            return;
        }
        busy = true;
        queue.loop().execute(() -> {
            Answer answer = stageOn(queue, message);
            connection.loop().execute(() -> staged(message, answer));
        });
    }

    /** Whatever happens there, the ring goes on, and its end is not waited for in vain. */
    private Answer stageOn(NetQueue queue, Message message) {
        try {
            return queue.stage(message, page);
        } catch (IllegalStateException e) { // no memory for a mapping
            LOG.log(Level.ERROR, connection.name() + ": a page could not be mapped or unmapped", e);
            return Answer.INVALID;
        }
    }

    private void staged(Message message, Answer answer) {
        busy = false;
        if (ended) {
            onIdle.run();
            return;
        }
        boolean list = message.type() == NetControl.DEL_GREF_MAPPING && answer.status() == NetControl.STATUS_SUCCESS;
        boolean told = !list || message.c() == 0 || write(message.b(), message.c() * NetControl.GRANT_BYTES);
        answer(message, told ? answer : Answer.INVALID);
        push();
        connection.loop().atTurnEnd(turnEnd);
    }

    private boolean read(int gref, MemorySegment into, int bytes) {
        fromGuest.clear();
        fromGuest.add(connection.guestDomid(), gref, 0, into, 0, bytes);
        return grants.copy(fromGuest) == 0;
    }

    private boolean write(int gref, int bytes) {
        toGuest.clear();
        toGuest.add(connection.guestDomid(), gref, 0, page, 0, bytes);
        return grants.copy(toGuest) == 0;
    }

    private void answer(Message message, Answer answer) {
        answer.write(slot, message);
        ring.putResponse(slot, NetControl.RESPONSE_BYTES);
    }

    private void push() {
        if (ring.push()) {
            events.notifyPort(port);
        }
    }
}
