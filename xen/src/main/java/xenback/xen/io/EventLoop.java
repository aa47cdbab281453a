package xenback.xen.io;

import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.Locale;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * One platform thread that starts operations and dispatches their completions; the data path of a queue lives on one
 * loop, from the guest's event to the notification, without a hand-over.
 *
 * <p>Everything but {@link #execute}, {@link #inLoop} and {@link #close} is called on the loop's thread. Completions are
 * always delivered from a later step of the loop, never inside the call that started the operation. Starting an
 * operation allocates nothing, except when more operations are in flight than ever before.
 *
 * <p>A turn of the loop is: completions at hand, then tasks of {@link #execute}, then {@link #atTurnEnd} work, then one
 * system call that submits what was started and waits if there is nothing else to do.
 */
public abstract sealed class EventLoop implements AutoCloseable permits UringLoop, PollLoop {
    /** What performs the operations. */
    public enum Engine {
        /** io_uring where this kernel and its policy allow it, else threads; said once in the log. */
        AUTO,
        /** io_uring, or an error. */
        URING,
        /** poll(2), and a pool of threads for files. */
        THREADS;

        /** As it is typed on a command line. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** Work at the end of a turn. Implementations are long-lived objects, each used with one loop. */
    public abstract static class TurnEnd {
        private static final VarHandle SIGNALLED;

        static {
            try {
                SIGNALLED = MethodHandles.lookup().findVarHandle(TurnEnd.class, "signalled", boolean.class);
            } catch (ReflectiveOperationException e) {
                throw new ExceptionInInitializerError(e);
            }
        }

        private boolean listed; // owned by the loop

        // A link of the stack of signalled work, so that signalling allocates nothing.
        private @Nullable TurnEnd below;

        @SuppressWarnings("unused") // through SIGNALLED
        private volatile boolean signalled;

        protected abstract void endTurn();
    }

    public static final int POLLIN = 1;
    public static final int POLLOUT = 4;

    private static final System.Logger LOG = System.getLogger(EventLoop.class.getName());
    private static final AtomicBoolean FALLBACK_SAID = new AtomicBoolean();
    private static final int NO_SLOT = -1;

    /** Of a slot without an operation. */
    private static final Completion NOBODY = (tag, result) -> {};

    /** How often work may beget work before operations get their turn: the two ends of a ring on one loop need a few. */
    private static final int ROUNDS_PER_TURN = 8;

    private final String name;
    private final Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean wakeSent = new AtomicBoolean();
    private final Completion onWake = this::onWake;
    private final AtomicBoolean closeBegun = new AtomicBoolean();
    private volatile boolean closing;
    private volatile @Nullable Thread thread;
    final EventFd wake;

    // Operations in flight, by slot: who is told, and with which tag. Free slots form a list through nextFree.
    private Completion[] dones = new Completion[64];
    private int[] tags = new int[64];
    private int[] nextFree = new int[64];
    private @Nullable NativeFile[] changing = new NativeFile[64]; // of changeSpace
    private int firstFree;

    /** Work signalled by any thread and not listed yet: the top of a stack. */
    private final AtomicReference<@Nullable TurnEnd> signals = new AtomicReference<>();

    private TurnEnd[] turnEnds = new TurnEnd[16];
    private int turnEndCount;

    /** How many of them were called in the pass that is under way, this one included; 0 between passes. */
    private int turnEndsCalled;

    /** Work for the next turn, after operations have had theirs. */
    private TurnEnd[] postponed = new TurnEnd[16];

    private int postponedCount;

    // Results of operations that were done inside their starting call, kept for the next step.
    private int[] readySlots = new int[64];
    private int[] readyResults = new int[64];
    private int readyCount;

    /** How many of them were told in the step that is under way; 0 between steps. */
    private int readyDispatched;

    EventLoop(String name) throws XenException {
        this.name = name;
        wake = EventFd.create();
        linkFree(0);
    }

    /** Starts a loop on a new thread of that name. */
    public static EventLoop start(String name, Engine engine) throws XenException {
        if (engine != Engine.THREADS) {
            try {
                return begin(new UringLoop(name));
            } catch (XenException e) {
                if (engine == Engine.URING) {
                    throw e;
                }
                if (!FALLBACK_SAID.getAndSet(true)) {
                    LOG.log(Level.WARNING, "no io_uring here ({0}), going on with threads", e.getMessage());
                }
            }
        }
        return begin(new PollLoop(name));
    }

    /** {@link #start(String, Engine)} with {@link Engine#AUTO}. */
    public static EventLoop start(String name) throws XenException {
        return start(name, Engine.AUTO);
    }

    /** Reads a file at a position ({@code preadv}); the result may be short. */
    public abstract void readv(NativeFile file, ScatterList into, long fileOffsetBytes, Completion done, int tag);

    /** Writes a file at a position ({@code pwritev}); the result may be short. */
    public abstract void writev(NativeFile file, ScatterList from, long fileOffsetBytes, Completion done, int tag);

    /** Makes a file's data durable ({@code fdatasync}). */
    public abstract void fdatasync(NativeFile file, Completion done, int tag);

    /**
     * Has {@code done} told {@code result} from a later step, like an operation that was over at once: for a caller that
     * promises that too. No allocation.
     */
    public final void completeSoon(Completion done, int tag, int result) {
        completeLater(takeSlot(done, tag), result);
    }

    /**
     * Gives the space of a range back, or makes it read as zeroes, without bytes from the caller. What a file system or device
     * cannot do is -EOPNOTSUPP. May take long, and never holds up the loop: a write of the same file, which has to wait for
     * it, is not done inline meanwhile.
     */
    public abstract void changeSpace(
            NativeFile file, SpaceChange change, long offsetBytes, long lengthBytes, Completion done, int tag);

    /** Waits once until {@code fd} is ready for {@code events}; the result is the mask of what it is ready for. */
    public abstract void poll(int fd, int events, Completion done, int tag);

    /**
     * Ends a wait of {@link #poll} that was started with the same {@code done} and {@code tag}: it completes with -ECANCELED
     * soon, unless it is completing already. Without such a wait nothing happens. For rare cases: looks at every operation.
     */
    @SuppressWarnings("ReferenceEquality") // the very object that was given
    public final void cancelPoll(Completion done, int tag) {
        for (int slot = 0; slot < dones.length; slot++) {
            if (dones[slot] == done && tags[slot] == tag) {
                cancel(slot);
            }
        }
    }

    /**
     * Waits until a device that does not block has something to read, and reads it: one system call less than a poll and a
     * read. The result is the count of bytes; the memory belongs to the operation until then.
     */
    public abstract void readDevice(DeviceFile device, MemorySegment into, int length, Completion done, int tag);

    /**
     * Writes to a device that does not block, in this turn or with the next system call of the loop; nobody is told how it
     * went. The memory is read any time before the next completion of an operation that is started after this.
     */
    public abstract void writeDevice(DeviceFile device, MemorySegment from, int length);

    /**
     * The same from a place in memory, which belongs to the operation until {@code done} is told how it went. What is written to
     * one device goes in the order in which it was started.
     */
    public abstract void writeDevice(
            DeviceFile device, MemorySegment from, long offset, int length, Completion done, int tag);

    /** Receives from a socket into one piece of memory; 0 is the end of the stream. */
    public abstract void recv(int fd, MemorySegment into, long offset, int length, Completion done, int tag);

    /** Sends a scatter list to a socket, possibly only a part of it; the result is the count. Never raises SIGPIPE. */
    public abstract void sendv(int fd, ScatterList from, Completion done, int tag);

    /** Accepts one connection from a listening socket; the result is its descriptor, close-on-exec. */
    public abstract void accept(int listenFd, Completion done, int tag);

    /** Which engine this is, never {@link Engine#AUTO}. */
    public abstract Engine engine();

    /** Runs {@code task} on the loop's thread soon; tasks run in the order given. Any thread. */
    public final void execute(Runnable task) {
        tasks.add(task);
        wakeUp();
    }

    /**
     * Has {@code work} called once at the end of a turn soon, however often it is signalled before. Any thread; from the
     * loop's own it costs no system call. No allocation.
     */
    public final void signal(TurnEnd work) {
        if ((boolean) TurnEnd.SIGNALLED.getVolatile(work) || !TurnEnd.SIGNALLED.compareAndSet(work, false, true)) {
            return;
        }
        TurnEnd top;
        do {
            top = signals.get();
            work.below = top;
        } while (!signals.compareAndSet(top, work));
        if (!inLoop()) {
            wakeUp();
        }
    }

    /** Runs {@code task} on the loop's thread and waits for it. Any thread but the loop's. */
    public final <T> T call(LoopCall<T> task) throws XenException {
        CompletableFuture<T> answer = new CompletableFuture<>();
        execute(() -> {
            try {
                answer.complete(task.run());
            } catch (Throwable e) { // whatever it is belongs to the caller
                answer.completeExceptionally(e);
            }
        });
        try {
            return answer.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof XenException cause) {
                throw cause;
            }
            throw e;
        }
    }

    /** A task with an answer. */
    @FunctionalInterface
    public interface LoopCall<T> {
        T run() throws XenException;
    }

    /** True on the loop's thread. */
    public final boolean inLoop() {
        return Thread.currentThread() == thread;
    }

    /**
     * True if there is something to do before the loop waits, besides the completion or turn end that asks: results at hand,
     * tasks, signals, work listed for this turn or the next. Who defers to that work and wants a word after it lists itself
     * ({@link #atTurnEnd}, {@link #atNextTurn}). On the loop's thread; no system call.
     */
    public final boolean hasWork() {
        return readyCount > readyDispatched
                || turnEndCount > turnEndsCalled
                || postponedCount > 0
                || !tasks.isEmpty()
                || signals.get() != null
                || hasCompletions();
    }

    /**
     * Calls {@code task} once at the end of this turn, after all completions at hand were dispatched and before the loop
     * sleeps: the place to do in one batch what completions gathered. A task that is listed already is not listed twice; one
     * that is listed by a task at the turn's end has its call in the next turn.
     */
    public final void atTurnEnd(TurnEnd task) {
        if (!task.listed) {
            task.listed = true;
            if (turnEndCount == turnEnds.length) {
                turnEnds = Arrays.copyOf(turnEnds, turnEndCount * 2);
            }
            turnEnds[turnEndCount++] = task;
        }
    }

    /**
     * As {@link #atTurnEnd}, but in the next turn: what was started in this one is submitted before, and what completes at
     * once is dispatched before. For work that is done in bursts.
     */
    public final void atNextTurn(TurnEnd task) {
        if (postponedCount == postponed.length) {
            postponed = Arrays.copyOf(postponed, postponedCount * 2);
        }
        postponed[postponedCount++] = task;
    }

    /**
     * As {@link #atTurnEnd}, but in some time: not earlier than in {@code delayNanos}. For rare cases; allocates. Any thread.
     */
    public final void later(TurnEnd task, long delayNanos) {
        CompletableFuture.delayedExecutor(delayNanos, TimeUnit.NANOSECONDS).execute(() -> signal(task));
    }

    /**
     * Stops the loop and joins its thread. Any thread but the loop's. Owners have drained their operations before: one that
     * still runs is abandoned with its memory in the kernel's hands.
     */
    @Override
    public final void close() {
        if (closeBegun.getAndSet(true)) {
            return;
        }
        closing = true;
        wake.signal();
        Thread running = thread;
        if (running != null) {
            join(running);
        }
        wake.close(); // here and not on the loop's thread, which may be done before signal() above has returned
    }

    /** Waits for a thread's end even when interrupted: one that is left behind would use memory that is gone. */
    static void join(Thread thread) {
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public String toString() {
        return name + " (" + engine() + ")";
    }

    /** Makes what belongs to the loop's thread; called there. */
    abstract void open() throws XenException;

    /** Submits what was started and dispatches what completed. Waits for something if {@code wait}. */
    abstract void step(boolean wait);

    /** Ends the poll of a slot, whose completion follows, with -ECANCELED if it was still waiting. */
    abstract void cancel(int slot);

    /** True if results lie ready that a step would dispatch without a system call. */
    abstract boolean hasCompletions();

    /** Gives back what {@link #open} made. */
    abstract void closeEngine();

    /** Takes a slot for an operation. */
    final int takeSlot(Completion done, int tag) {
        if (firstFree == NO_SLOT) {
            int old = dones.length;
            dones = Arrays.copyOf(dones, old * 2);
            tags = Arrays.copyOf(tags, old * 2);
            nextFree = Arrays.copyOf(nextFree, old * 2);
            changing = Arrays.copyOf(changing, old * 2);
            linkFree(old);
        }
        int slot = firstFree;
        firstFree = nextFree[slot];
        dones[slot] = done;
        tags[slot] = tag;
        return slot;
    }

    /** The same for a change of space, which the file is told of. */
    final int takeSlot(NativeFile file, Completion done, int tag) {
        int slot = takeSlot(done, tag);
        changing[slot] = file;
        file.beginSpaceChange();
        return slot;
    }

    /** Ends the operation of a slot and tells its starter. */
    final void complete(int slot, int result) {
        NativeFile changed = changing[slot];
        if (changed != null) {
            changing[slot] = null;
            changed.endSpaceChange();
        }
        Completion done = dones[slot];
        int tag = tags[slot];
        dones[slot] = NOBODY;
        nextFree[slot] = firstFree;
        firstFree = slot;
        try {
            done.onCompletion(tag, result);
        } catch (RuntimeException | Error e) {
            fault(e);
        }
    }

    /** Keeps the result of an operation that is already done, so that its starter is told in the next step. */
    final void completeLater(int slot, int result) {
        if (readyCount == readySlots.length) {
            readySlots = Arrays.copyOf(readySlots, readyCount * 2);
            readyResults = Arrays.copyOf(readyResults, readyCount * 2);
        }
        readySlots[readyCount] = slot;
        readyResults[readyCount++] = result;
    }

    /**
     * Dispatches what {@link #completeLater} kept up to now; what is added meanwhile stays for the next step.
     *
     * @return true if there was something
     */
    final boolean dispatchReady() {
        int count = readyCount;
        while (readyDispatched < count) {
            int next = readyDispatched++;
            complete(readySlots[next], readyResults[next]);
        }
        int added = readyCount - count;
        System.arraycopy(readySlots, count, readySlots, 0, added);
        System.arraycopy(readyResults, count, readyResults, 0, added);
        readyCount = added;
        readyDispatched = 0;
        return count > 0;
    }

    private static EventLoop begin(EventLoop loop) throws XenException {
        CompletableFuture<Boolean> opened = new CompletableFuture<>();
        loop.thread = Thread.ofPlatform().name(loop.name).daemon().start(() -> loop.run(opened));
        try {
            opened.join();
            return loop;
        } catch (CompletionException e) {
            throw e.getCause() instanceof XenException cause
                    ? cause
                    : new XenException(Errno.UNKNOWN, loop.name + ": cannot start", e);
        }
    }

    private void run(CompletableFuture<Boolean> opened) {
        try {
            open();
        } catch (XenException | RuntimeException | Error e) {
            wake.close();
            opened.completeExceptionally(e);
            return;
        }
        opened.complete(true);
        poll(wake.fd(), POLLIN, onWake, 0);
        while (!closing) {
            for (int round = 0; round < ROUNDS_PER_TURN; round++) {
                runTasks();
                listSignalled();
                if (turnEndCount == 0) {
                    break;
                }
                endTurn();
            }
            step(!hasWork());
            for (int i = 0; i < postponedCount; i++) {
                atTurnEnd(postponed[i]);
            }
            postponedCount = 0;
        }
        closeEngine();
    }

    private void onWake(int tag, int result) {
        // The signal is taken before the flag goes down. The other way round, a task added in between would raise the
        // flag with a signal that is then swallowed, and nobody would signal again. A task whose adder still finds the
        // flag up was added before the queue is looked at, later in this turn.
        wake.reset();
        wakeSent.set(false);
        poll(wake.fd(), POLLIN, onWake, 0);
    }

    private void wakeUp() {
        if (!wakeSent.get() && wakeSent.compareAndSet(false, true)) {
            wake.signal();
        }
    }

    private void listSignalled() {
        TurnEnd work = signals.get() == null ? null : signals.getAndSet(null);
        while (work != null) {
            TurnEnd below = work.below;
            work.below = null;
            // The flag goes down before the work is done: a signal that comes while it is done lists it again.
            TurnEnd.SIGNALLED.setVolatile(work, false);
            atTurnEnd(work);
            work = below;
        }
    }

    private void runTasks() {
        // Bounded by what is there now, so that a task which adds itself again cannot starve the operations.
        for (int left = tasks.size(); left > 0; left--) {
            Runnable task = tasks.poll();
            if (task == null) {
                return;
            }
            try {
                task.run();
            } catch (RuntimeException | Error e) {
                fault(e);
            }
        }
    }

    private void endTurn() {
        // Only what is listed now: work that lists itself again must not keep the loop from its completions.
        int due = turnEndCount;
        while (turnEndsCalled < due) {
            TurnEnd task = turnEnds[turnEndsCalled++];
            task.listed = false;
            try {
                task.endTurn();
            } catch (RuntimeException | Error e) {
                fault(e);
            }
        }
        System.arraycopy(turnEnds, due, turnEnds, 0, turnEndCount - due);
        turnEndCount -= due;
        turnEndsCalled = 0;
    }

    /** Our own fault: said in full, and the loop goes on, for other disks live on it. */
    private void fault(Throwable e) {
        LOG.log(Level.ERROR, name + ": a fault of this program", e);
    }

    private void linkFree(int from) {
        for (int slot = from; slot < nextFree.length - 1; slot++) {
            nextFree[slot] = slot + 1;
        }
        nextFree[nextFree.length - 1] = NO_SLOT;
        firstFree = from;
    }
}
