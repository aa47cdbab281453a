package xenback.net.link;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/** Frames that other queues have sent to this one, as many as a megabyte holds. */
abstract class Inbox implements LinkQueue {
    private static final int INBOX_BYTES = 1 << 20;

    private final FrameRing ring = new FrameRing(INBOX_BYTES);
    private volatile int offload;

    // Of the wait that is under way: written before it is armed, read by whoever ends it.
    private @Nullable EventLoop loop;
    private @Nullable Completion done;
    private int tag;
    private final EventLoop.TurnEnd arrival = new EventLoop.TurnEnd() {
        @Override
        protected void endTurn() {
            Completion told = done;
            if (told != null) {
                done = null;
                told.onCompletion(tag, EventLoop.POLLIN);
            }
        }
    };

    /** What frames for this queue may leave undone. */
    final int offload() {
        return offload;
    }

    /** Takes a frame from another queue's thread; false if there is no room. */
    final boolean deliver(MemorySegment memory, long offset, int bytes) {
        long at = ring.claim(bytes);
        if (at < 0) {
            return false;
        }
        MemorySegment.copy(memory, offset, ring.memory(), at, bytes);
        if (ring.commit(at, bytes)) {
            wake();
        }
        return true;
    }

    private void wake() {
        EventLoop waiting = loop;
        if (waiting != null) {
            waiting.signal(arrival);
        }
    }

    @Override
    public final int receive(MemorySegment into, long offset, int capacity) {
        long at = ring.next();
        if (at < 0) {
            return -Errno.EAGAIN.number();
        }
        int bytes = Math.min(ring.bytes(at), capacity);
        MemorySegment.copy(ring.memory(), at, into, offset, bytes);
        ring.release(at);
        return bytes;
    }

    @Override
    public final void awaitFrame(EventLoop loop, Completion done, int tag) {
        this.loop = loop;
        this.done = done;
        this.tag = tag;
        if (!ring.rearm()) {
            wake();
        }
    }

    @Override
    public final void stopAwaiting(EventLoop loop, Completion done, int tag) {
        ring.disarm();
        this.done = null; // whoever is told twice would take it for two frames
        loop.completeSoon(done, tag, -Errno.ECANCELED.number());
    }

    @Override
    public final void setOffload(int mask) {
        offload = mask;
    }

    @Override
    public void close() {
        ring.disarm();
    }
}
