package xenback.xen.io;

import java.lang.foreign.MemorySegment;

/**
 * One platform thread that starts operations and dispatches their completions; the data path of a queue lives on one
 * loop, from the guest's event to the notification, without a hand-over.
 *
 * <p>Everything but {@link #execute}, {@link #inLoop} and {@link #close} is called on the loop's thread. Completions are
 * always delivered from a later step of the loop, never inside the call that started the operation. Starting an
 * operation allocates nothing.
 */
public abstract class EventLoop implements AutoCloseable {
    /** Runs {@code task} on the loop's thread soon. Any thread. Tasks run in the order given. */
    public abstract void execute(Runnable task);

    /** True on the loop's thread. */
    public abstract boolean inLoop();

    /** Reads a file at a position into a scatter list ({@code preadv}). */
    public abstract void readv(int fd, ScatterList into, long fileOffsetBytes, Completion done, int tag);

    /** Writes a file at a position from a scatter list ({@code pwritev}). */
    public abstract void writev(int fd, ScatterList from, long fileOffsetBytes, Completion done, int tag);

    /** Makes a file's data durable ({@code fdatasync}). */
    public abstract void fdatasync(int fd, Completion done, int tag);

    /** Waits once until {@code fd} is ready for {@code events} (POLLIN 1, POLLOUT 4); the result is the ready mask. */
    public abstract void poll(int fd, int events, Completion done, int tag);

    /** Receives from a socket into one piece of memory; 0 is the end of the stream. */
    public abstract void recv(int fd, MemorySegment into, long offset, int length, Completion done, int tag);

    /** Sends a scatter list to a socket, possibly only a part of it; the result is the count. Never raises SIGPIPE. */
    public abstract void sendv(int fd, ScatterList from, Completion done, int tag);

    /** Accepts one connection from a listening socket; the result is its descriptor, close-on-exec. */
    public abstract void accept(int listenFd, Completion done, int tag);

    /**
     * Calls {@code task} once at the end of this turn, after all completions at hand were dispatched and before the loop
     * sleeps: the place to do in one batch what completions gathered. A task listed already is not listed twice.
     */
    public abstract void atTurnEnd(TurnEnd task);

    /** Stops the loop and joins its thread. Any thread but the loop's. Operations still running are abandoned. */
    @Override
    public abstract void close();

    /** Work at the end of a turn. Implementations are long-lived objects. */
    public abstract static class TurnEnd {
        boolean listed; // owned by the loop

        protected abstract void endTurn();
    }
}
