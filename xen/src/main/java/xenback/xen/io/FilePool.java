package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Threads that do a loop's file operations where there is no io_uring. Work and results travel in int queues under one
 * lock, so that a request allocates nothing here either.
 */
final class FilePool {
    static final int READ = 0;
    static final int WRITE = 1;
    static final int SYNC = 2;

    /** The pool's size of the measurement in the design: enough to keep a fast disk busy with synchronous calls. */
    private static final int THREADS = 16;

    private final String name;
    private final EventFd wake;
    private final Thread[] threads = new Thread[THREADS];

    // All below under the lock of this object. Operations are described by slot of the loop.
    private int[] kinds = new int[64];
    private int[] fds = new int[64];
    private long[] offsets = new long[64];
    private ScatterList[] lists = new ScatterList[64];
    private final IntQueue work = new IntQueue();
    private IntQueue results = new IntQueue(); // slot, result, slot, result...
    private IntQueue taken = new IntQueue(); // the loop's while it dispatches
    private boolean closed;

    FilePool(String name, EventFd wake) {
        this.name = name;
        this.wake = wake;
    }

    void start() {
        for (int i = 0; i < THREADS; i++) {
            threads[i] = Thread.ofPlatform().name(name + "-io-" + i).daemon().start(this::run);
        }
    }

    synchronized void submit(int kind, int slot, int fd, ScatterList list, long offset) {
        if (slot >= kinds.length) {
            int capacity = Integer.highestOneBit(slot) * 2;
            kinds = Arrays.copyOf(kinds, capacity);
            fds = Arrays.copyOf(fds, capacity);
            offsets = Arrays.copyOf(offsets, capacity);
            lists = Arrays.copyOf(lists, capacity);
        }
        kinds[slot] = kind;
        fds[slot] = fd;
        offsets[slot] = offset;
        lists[slot] = list;
        work.add(slot);
        notify();
    }

    synchronized boolean hasResults() {
        return !results.isEmpty();
    }

    /** Tells the loop what is done. On the loop's thread. */
    void takeResults(EventLoop loop) {
        IntQueue done;
        synchronized (this) {
            done = results;
            results = taken;
            taken = done;
        }
        while (!done.isEmpty()) {
            int slot = done.take();
            loop.complete(slot, done.take());
        }
    }

    void close() {
        synchronized (this) {
            closed = true;
            notifyAll();
        }
        for (Thread thread : threads) {
            EventLoop.join(thread);
        }
    }

    private void run() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = Libc.newState(arena);
            while (true) {
                int slot;
                int kind;
                int fd;
                long offset;
                ScatterList list;
                synchronized (this) {
                    while (work.isEmpty() && !closed) {
                        try {
                            wait();
                        } catch (InterruptedException e) {
                            return;
                        }
                    }
                    if (work.isEmpty()) {
                        return;
                    }
                    slot = work.take();
                    kind = kinds[slot];
                    fd = fds[slot];
                    offset = offsets[slot];
                    list = lists[slot];
                }
                int result = perform(state, kind, fd, list, offset);
                synchronized (this) {
                    boolean first = results.isEmpty();
                    results.add(slot);
                    results.add(result);
                    if (first) {
                        wake.signal(); // before the loop can take the results and be closed
                    }
                }
            }
        }
    }

    private static int perform(MemorySegment state, int kind, int fd, ScatterList list, long offset) {
        return switch (kind) {
            case READ -> (int) Libc.preadv(state, fd, list.iovecAddress(), list.count(), offset);
            case WRITE -> (int) Libc.pwritev(state, fd, list.iovecAddress(), list.count(), offset);
            default -> Libc.fdatasync(state, fd);
        };
    }

    /** A growing ring of ints. */
    private static final class IntQueue {
        private int[] items = new int[128]; // a power of two
        private int head;
        private int tail;

        boolean isEmpty() {
            return head == tail;
        }

        void add(int item) {
            if (tail - head == items.length) {
                int[] larger = new int[items.length * 2];
                for (int i = 0; i < items.length; i++) {
                    larger[i] = items[head + i & items.length - 1];
                }
                tail = items.length;
                head = 0;
                items = larger;
            }
            items[tail++ & items.length - 1] = item;
        }

        int take() {
            return items[head++ & items.length - 1];
        }
    }
}
