package xenback.net.link;

import java.lang.foreign.MemorySegment;
import xenback.xen.Errno;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;

/**
 * One queue of a {@link Link}: frames, each behind a {@link VnetHeader}. On one loop's thread. Nothing here blocks or
 * allocates.
 */
public interface LinkQueue extends AutoCloseable {
    /**
     * Takes the next frame.
     *
     * @param capacity most bytes, header included; the rest of a longer frame is lost
     * @return bytes of header and frame; negative if there is no frame now
     */
    int receive(MemorySegment into, long offset, int capacity);

    /** Sends a frame with its header. Returns a negative errno if it was not taken, and it is lost. */
    int send(MemorySegment from, long offset, int bytes);

    /** What {@link #sendSoon} returns if {@code done} is told how it went. */
    int SOON = Integer.MIN_VALUE;

    /**
     * As {@link #send}, or with the loop's next system call: one for many frames. Frames go in the order in which they are given,
     * if all are given by one of the two.
     *
     * @param from belongs to the link until {@code done} is told
     * @param done is told what {@link #send} would return, if this returns {@link #SOON}
     */
    default int sendSoon(EventLoop loop, MemorySegment from, long offset, int bytes, Completion done, int tag) {
        return send(from, offset, bytes);
    }

    /** Has {@code done} told once when there is a frame to receive. */
    void awaitFrame(EventLoop loop, Completion done, int tag);

    /**
     * Ends a wait of {@link #awaitFrame}: {@code done} is told soon, -ECANCELED if nothing else. For a queue whose wait holds
     * nothing of the loop's, this is enough.
     */
    default void stopAwaiting(EventLoop loop, Completion done, int tag) {
        loop.completeSoon(done, tag, -Errno.ECANCELED.number());
    }

    /** What frames may leave undone: a mask of {@link xenback.xen.io.Tap}'s OFFLOAD_ bits. The sender's duty is the rest. */
    void setOffload(int mask) throws xenback.xen.XenException;

    @Override
    void close();
}
