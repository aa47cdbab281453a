package xenback.net.frontend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetControl.Answer;
import xenback.net.protocol.NetControl.Message;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.Granter;
import xenback.xen.io.EventLoop;
import xenback.xen.ring.FrontRing;

/** The guest's end of the control ring: one message at a time, and a page for what a message names. */
final class XnControl {
    private static final int PAGE_BYTES = 4096;

    /** Pages of its domain that it takes. */
    static final int GUEST_PAGES = 2;

    private static final long PATIENCE_SECONDS = 10;

    private final Domain guest;
    private final EventLoop loop;
    private final Granter.Pages pages;
    private final int[] grefs;
    private final EventChannels events;
    private final int port;
    private final FrontRing ring;
    private final MemorySegment slot = Arena.ofAuto().allocate(NetControl.SLOT_BYTES, 8);
    private final int[] pendingPorts = new int[1];
    private short nextId;

    /** Of the message that is out. On the loop. */
    private @Nullable CompletableFuture<Answer> awaited;

    private final EventLoop.TurnEnd turnEnd = new EventLoop.TurnEnd() {
        @Override
        protected void endTurn() {
            takeAnswers();
        }
    };

    XnControl(Domain guest, int backendDomid, EventLoop loop) throws XenException {
        this.guest = guest;
        this.loop = loop;
        pages = guest.allocatePages(GUEST_PAGES);
        grefs = guest.allocateGrefs(GUEST_PAGES);
        for (int i = 0; i < GUEST_PAGES; i++) {
            guest.grant(grefs[i], backendDomid, pages.firstFrame() + i, false);
        }
        ring = new FrontRing(pages.memory().asSlice(0, PAGE_BYTES), NetControl.SLOT_BYTES);
        events = guest.openEventChannels(backendDomid);
        port = events.bindUnbound(backendDomid);
    }

    int gref() {
        return grefs[0];
    }

    int port() {
        return port;
    }

    /** What a message may name by {@link #pageGref}. */
    MemorySegment page() {
        return pages.memory().asSlice(PAGE_BYTES, PAGE_BYTES);
    }

    int pageGref() {
        return grefs[1];
    }

    void begin() {
        events.listen(loop, turnEnd);
    }

    /** Sends a message and waits for its answer. On the device's control thread. */
    Answer ask(int type, int a, int b, int c) throws XenException {
        Message message = new Message(nextId++, type, a, b, c);
        CompletableFuture<Answer> answer = new CompletableFuture<>();
        loop.execute(() -> {
            awaited = answer;
            message.write(slot);
            ring.putRequest(slot, NetControl.SLOT_BYTES);
            ring.rearm();
            if (ring.push()) {
                events.notifyPort(port);
            }
        });
        try {
            return answer.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new XenException(Errno.EINTR, "control message " + type, e);
        } catch (ExecutionException | TimeoutException e) {
            throw new XenException(Errno.EIO, "control message " + type + " has no answer", e);
        }
    }

    private void takeAnswers() {
        events.takePending(pendingPorts);
        do {
            if (!ring.beginSweep()) {
                return;
            }
            while (ring.takeResponse(slot, NetControl.RESPONSE_BYTES)) {
                CompletableFuture<Answer> waiting = awaited;
                awaited = null;
                if (waiting != null) {
                    waiting.complete(Answer.read(slot));
                }
            }
        } while (ring.rearm());
        events.unmask(port);
    }

    /** Gives everything back to the guest. */
    void close() {
        events.close();
        boolean free = true;
        for (int gref : grefs) {
            free &= guest.end(gref);
        }
        if (free) {
            guest.freeGrefs(grefs);
            guest.freePages(pages);
        }
    }
}
