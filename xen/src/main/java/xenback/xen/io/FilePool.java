package xenback.xen.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Threads that do file operations for a loop: all of them where there is no io_uring, else those that io_uring has no word
 * for. They start with the first operation. Work and results travel in int queues under one lock, so that a request
 * allocates nothing here either.
 */
final class FilePool {
    /** For reads and writes, the size of the measurement in the design: keeps a fast disk busy with synchronous calls. */
    static final int FILE_THREADS = 16;

    /**
     * For changes of space, which may take seconds on a slow device: apart from reads and writes, which go on meanwhile, and
     * two, so that one disk does not wait for another.
     */
    static final int SPACE_THREADS = 2;

    private static final int READ = 0;
    private static final int WRITE = 1;
    private static final int SYNC = 2;
    private static final int FALLOCATE = 3;
    private static final int IOCTL = 4;

    private final String name;
    private final EventFd wake;
    private final int threadCount;

    // All below under the lock of this object. Operations are described by slot of the loop.
    private final List<Thread> threads = new ArrayList<>();
    private int[] kinds = new int[64];
    private int[] fds = new int[64];
    private long[] offsets = new long[64];
    private long[] lengths = new long[64];
    private long[] arguments = new long[64]; // address of iovecs, mode of fallocate or request of ioctl
    private final IntQueue work = new IntQueue();
    private IntQueue results = new IntQueue(); // slot, result, slot, result...
    private IntQueue taken = new IntQueue(); // the loop's while it dispatches
    private boolean closed;

    /** Read without the lock, each turn. */
    private volatile boolean hasResults;

    FilePool(String name, EventFd wake, int threadCount) {
        this.name = name;
        this.wake = wake;
        this.threadCount = threadCount;
    }

    void read(int slot, NativeFile file, ScatterList into, long offset) {
        submit(READ, slot, file, into.iovecAddress(), offset, into.count());
    }

    void write(int slot, NativeFile file, ScatterList from, long offset) {
        submit(WRITE, slot, file, from.iovecAddress(), offset, from.count());
    }

    void sync(int slot, NativeFile file) {
        submit(SYNC, slot, file, 0, 0, 0);
    }

    void changeSpace(int slot, NativeFile file, SpaceChange change, long offset, long length) {
        if (change.isFallocate()) {
            submit(FALLOCATE, slot, file, change.mode(), offset, length);
        } else {
            submit(IOCTL, slot, file, change.request(), offset, length);
        }
    }

    /** True if {@link #takeResults} would find something. */
    boolean hasResults() {
        return hasResults;
    }

    /** Tells the loop what is done. On the loop's thread. */
    void takeResults(EventLoop loop) {
        if (!hasResults) {
            return;
        }
        IntQueue done;
        synchronized (this) {
            done = results;
            results = taken;
            taken = done;
            hasResults = false;
        }
        while (!done.isEmpty()) {
            int slot = done.take();
            loop.complete(slot, done.take());
        }
    }

    void close() {
        List<Thread> running;
        synchronized (this) {
            closed = true;
            running = List.copyOf(threads);
            notifyAll();
        }
        running.forEach(EventLoop::join);
    }

    /** @param length bytes, or the count of iovecs */
    private synchronized void submit(int kind, int slot, NativeFile file, long argument, long offset, long length) {
        if (slot >= kinds.length) {
            int capacity = Integer.highestOneBit(slot) * 2;
            kinds = Arrays.copyOf(kinds, capacity);
            fds = Arrays.copyOf(fds, capacity);
            offsets = Arrays.copyOf(offsets, capacity);
            lengths = Arrays.copyOf(lengths, capacity);
            arguments = Arrays.copyOf(arguments, capacity);
        }
        kinds[slot] = kind;
        fds[slot] = file.fd();
        arguments[slot] = argument;
        offsets[slot] = offset;
        lengths[slot] = length;
        work.add(slot);
        if (threads.isEmpty()) {
            start();
        }
        notify();
    }

    private void start() {
        for (int i = 0; i < threadCount; i++) {
            threads.add(Thread.ofPlatform().name(name + "-" + i).daemon().start(this::run));
        }
    }

    private void run() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = Libc.newState(arena);
            MemorySegment range = arena.allocate(16, 8);
            while (true) {
                int slot;
                int kind;
                int fd;
                long argument;
                long offset;
                long length;
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
                    argument = arguments[slot];
                    offset = offsets[slot];
                    length = lengths[slot];
                }
                int result = switch (kind) {
                    case READ -> (int) Libc.preadv(state, fd, argument, (int) length, offset);
                    case WRITE -> (int) Libc.pwritev(state, fd, argument, (int) length, offset);
                    case SYNC -> Libc.fdatasync(state, fd);
                    case FALLOCATE -> Libc.fallocate(state, fd, (int) argument, offset, length);
                    default -> ioctl(state, fd, argument, range, offset, length);
                };
                synchronized (this) {
                    boolean first = results.isEmpty();
                    results.add(slot);
                    results.add(result);
                    hasResults = true;
                    if (first) {
                        wake.signal(); // before the loop can take the results and be closed
                    }
                }
            }
        }
    }

    /** The ioctls of {@link SpaceChange}: the range is two u64. */
    private static int ioctl(MemorySegment state, int fd, long request, MemorySegment range, long offset, long length) {
        range.set(ValueLayout.JAVA_LONG, 0, offset);
        range.set(ValueLayout.JAVA_LONG, 8, length);
        return Libc.ioctl(state, fd, request, range.address());
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
