package xenback.block.nbd;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import java.util.concurrent.atomic.AtomicInteger;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskQueue;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.ScatterList;

/**
 * A disk in memory that can be told to fail, to hold its operations back and to complete them in reverse. Operations are
 * performed when they complete, not when they start, so that memory given back too early shows. Switches may be set from
 * any thread; they act on operations that complete afterwards.
 */
class MemoryDisk implements Disk {
    private static final int EXTENT_BYTES = 4096;

    final MemorySegment contents;
    final AtomicInteger flushes = new AtomicInteger();
    final AtomicInteger discards = new AtomicInteger();
    final AtomicInteger started = new AtomicInteger();
    final AtomicInteger openQueues = new AtomicInteger();
    volatile long sizeBytes;
    volatile boolean readOnly;
    volatile boolean canFlush = true;
    volatile boolean canDiscard = true;
    volatile boolean canWriteZeroes = true;
    volatile boolean knowsExtents = true;
    volatile int readError;
    volatile int writeError;
    volatile int flushError;
    volatile int extentError;
    volatile boolean holding;
    volatile boolean mayDiscardSeen;

    /** Extents that hold data. */
    private final BitSet written = new BitSet();

    private volatile Queue lastQueue;

    MemoryDisk(long sizeBytes) {
        this.sizeBytes = sizeBytes;
        contents = Arena.ofAuto().allocate(sizeBytes, 4096);
    }

    /** Completes everything held back and holds no more. */
    void release(boolean reverse) {
        holding = false;
        Queue queue = lastQueue;
        queue.loop.execute(() -> queue.complete(reverse));
    }

    @Override
    public String name() {
        return "memory";
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public int logicalBlockBytes() {
        return 512;
    }

    @Override
    public int physicalBlockBytes() {
        return 4096;
    }

    @Override
    public boolean readOnly() {
        return readOnly;
    }

    @Override
    public boolean canFlush() {
        return canFlush;
    }

    @Override
    public boolean canDiscard() {
        return canDiscard;
    }

    @Override
    public boolean canWriteZeroes() {
        return canWriteZeroes;
    }

    @Override
    public boolean knowsExtents() {
        return knowsExtents;
    }

    @Override
    public long nextExtent(long offsetBytes, long lengthBytes) throws XenException {
        if (extentError != 0) {
            throw new XenException(Errno.of(extentError), "told to fail");
        }
        synchronized (written) {
            int extent = (int) (offsetBytes / EXTENT_BYTES);
            boolean data = written.get(extent);
            int next = data ? written.nextClearBit(extent) : written.nextSetBit(extent);
            long end = next < 0 ? Long.MAX_VALUE : (long) next * EXTENT_BYTES;
            long length = Math.min(lengthBytes, end - offsetBytes);
            return data ? length : -length;
        }
    }

    @Override
    public DiskQueue openQueue(EventLoop loop) {
        if (!loop.inLoop()) {
            throw new IllegalStateException("opened off the loop");
        }
        openQueues.incrementAndGet();
        lastQueue = new Queue(loop);
        return lastQueue;
    }

    @Override
    public void close() {}

    private void mark(long offsetBytes, long lengthBytes, boolean data) {
        synchronized (written) {
            int first = (int) (offsetBytes / EXTENT_BYTES);
            int end = (int) ((offsetBytes + lengthBytes + EXTENT_BYTES - 1) / EXTENT_BYTES);
            written.set(first, end, data);
        }
    }

    private enum Operation {
        READ,
        WRITE,
        FLUSH,
        DISCARD,
        ZERO
    }

    private final class Queue implements DiskQueue {
        private static final int MAX = 16384;

        private final EventLoop loop;
        private final Operation[] operations = new Operation[MAX];
        private final long[] offsets = new long[MAX];
        private final long[] lengths = new long[MAX];
        private final ScatterList[] lists = new ScatterList[MAX];
        private final Completion[] dones = new Completion[MAX];
        private final int[] tags = new int[MAX];
        private final ScatterList none = new ScatterList(1, Arena.ofAuto());
        private int first;
        private int end;
        private final EventLoop.TurnEnd turnEnd = new EventLoop.TurnEnd() {
            @Override
            protected void endTurn() {
                if (!holding) {
                    complete(false);
                }
            }
        };

        Queue(EventLoop loop) {
            this.loop = loop;
        }

        @Override
        public void read(long offsetBytes, ScatterList into, Completion done, int tag) {
            begin(Operation.READ, offsetBytes, into.totalBytes(), into, done, tag);
        }

        @Override
        public void write(long offsetBytes, ScatterList from, Completion done, int tag) {
            begin(Operation.WRITE, offsetBytes, from.totalBytes(), from, done, tag);
        }

        @Override
        public void flush(Completion done, int tag) {
            begin(Operation.FLUSH, 0, 0, none, done, tag);
        }

        @Override
        public void discard(long offsetBytes, long lengthBytes, boolean secure, Completion done, int tag) {
            begin(Operation.DISCARD, offsetBytes, lengthBytes, none, done, tag);
        }

        @Override
        public void writeZeroes(long offsetBytes, long lengthBytes, boolean mayDiscard, Completion done, int tag) {
            mayDiscardSeen = mayDiscard;
            begin(Operation.ZERO, offsetBytes, lengthBytes, none, done, tag);
        }

        @Override
        public void close() {
            if (first != end) {
                throw new IllegalStateException("closed with operations under way");
            }
            openQueues.decrementAndGet();
        }

        private void begin(Operation operation, long offset, long length, ScatterList list, Completion done, int tag) {
            if (!loop.inLoop()) {
                throw new IllegalStateException("started off the loop");
            }
            int at = end++ % MAX;
            operations[at] = operation;
            offsets[at] = offset;
            lengths[at] = length;
            lists[at] = list;
            dones[at] = done;
            tags[at] = tag;
            started.incrementAndGet();
            loop.atTurnEnd(turnEnd);
        }

        private void complete(boolean reverse) {
            int last = end; // completions may start new operations, which are for the next time
            int start = first;
            first = last;
            for (int i = 0; i < last - start; i++) {
                int at = (reverse ? last - 1 - i : start + i) % MAX;
                dones[at].onCompletion(tags[at], perform(at));
            }
            if (first != end) {
                loop.atTurnEnd(turnEnd);
            }
        }

        private int perform(int at) {
            long offset = offsets[at];
            long length = lengths[at];
            if (offset + length > contents.byteSize()) {
                return -Errno.EIO.number();
            }
            return switch (operations[at]) {
                case READ -> {
                    lists[at].copyIn(0, contents, offset, length);
                    yield -readError;
                }
                case WRITE -> {
                    if (writeError == 0) {
                        lists[at].copyOut(0, contents, offset, length);
                        mark(offset, length, true);
                    }
                    yield -writeError;
                }
                case FLUSH -> {
                    flushes.incrementAndGet();
                    yield -flushError;
                }
                case DISCARD, ZERO -> {
                    discards.incrementAndGet();
                    contents.asSlice(offset, length).fill((byte) 0);
                    mark(offset, length, false);
                    yield -writeError;
                }
            };
        }
    }
}
