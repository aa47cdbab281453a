package xenback.block.backend;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskQueue;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.ScatterList;

/**
 * A disk in memory that holds operations while it is told to, ends them in either order with the result it is told, and
 * remembers the first operation that it should not have been given. Memory is touched at the end of an operation, so that
 * what was given back too early shows.
 */
final class ScriptedDisk implements Disk {
    static final int SIZE_BYTES = 1 << 20;

    String fault = "";
    int result;
    private final boolean grantedPages;
    private final Runnable onStart;
    private final MemorySegment contents = Arena.ofAuto().allocate(SIZE_BYTES, 4096);
    private boolean holding;
    private boolean reverse;
    private Queue queue;

    /** @param onStart called before each operation is taken up */
    ScriptedDisk(boolean grantedPages, Runnable onStart) {
        this.grantedPages = grantedPages;
        this.onStart = onStart;
    }

    void hold() {
        holding = true;
    }

    /** Ends what is held, and holds no more. */
    void release(boolean lastFirst) {
        reverse = lastFirst;
        holding = false;
        Queue current = queue;
        if (current != null) {
            current.loop.signal(current.turnEnd);
        }
    }

    @Override
    public String name() {
        return "scripted";
    }

    @Override
    public long sizeBytes() {
        return SIZE_BYTES;
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
        return false;
    }

    @Override
    public boolean canFlush() {
        return true;
    }

    @Override
    public boolean canDiscard() {
        return true;
    }

    @Override
    public int discardGranularityBytes() {
        return 512;
    }

    @Override
    public int discardAlignmentBytes() {
        return 0;
    }

    @Override
    public boolean canDiscardSecurely() {
        return true;
    }

    @Override
    public boolean canWriteZeroes() {
        return false;
    }

    @Override
    public boolean takesGrantedPages() {
        return grantedPages;
    }

    @Override
    public DiskQueue openQueue(EventLoop loop) {
        queue = new Queue(loop);
        return queue;
    }

    @Override
    public void close() {}

    private enum Kind {
        READ,
        WRITE,
        OTHER
    }

    private record Operation(Kind kind, long offset, ScatterList list, Completion done, int tag) {}

    private final class Queue implements DiskQueue {
        private final EventLoop loop;
        private final Deque<Operation> started = new ArrayDeque<>();
        private final EventLoop.TurnEnd turnEnd = new EventLoop.TurnEnd() {
            @Override
            protected void endTurn() {
                if (!holding) {
                    end();
                }
            }
        };

        Queue(EventLoop loop) {
            this.loop = loop;
        }

        @Override
        public void read(long offsetBytes, ScatterList into, Completion done, int tag) {
            start(new Operation(Kind.READ, offsetBytes, into, done, tag), into.totalBytes());
        }

        @Override
        public void write(long offsetBytes, ScatterList from, Completion done, int tag) {
            start(new Operation(Kind.WRITE, offsetBytes, from, done, tag), from.totalBytes());
        }

        @Override
        public void flush(Completion done, int tag) {
            start(new Operation(Kind.OTHER, 0, null, done, tag), 512);
        }

        @Override
        public void discard(long offsetBytes, long lengthBytes, boolean secure, Completion done, int tag) {
            start(new Operation(Kind.OTHER, offsetBytes, null, done, tag), lengthBytes);
        }

        @Override
        public void writeZeroes(long offsetBytes, long lengthBytes, boolean mayDiscard, Completion done, int tag) {
            start(new Operation(Kind.OTHER, offsetBytes, null, done, tag), lengthBytes);
        }

        private void start(Operation operation, long lengthBytes) {
            onStart.run();
            boolean inside = operation.offset() >= 0
                    && lengthBytes > 0
                    && lengthBytes <= SIZE_BYTES
                    && operation.offset() <= SIZE_BYTES - lengthBytes
                    && (operation.offset() & 511) == 0
                    && (lengthBytes & 511) == 0;
            if (!inside) {
                fault = operation + " of " + lengthBytes + " bytes";
            }
            started.add(operation);
            loop.atTurnEnd(turnEnd);
        }

        private void end() {
            int count = started.size(); // what completions start is for the next time
            for (int i = 0; i < count; i++) {
                Operation operation = reverse && started.size() >= count - i ? last(count - i) : started.removeFirst();
                operation.done().onCompletion(operation.tag(), perform(operation));
            }
            if (!started.isEmpty()) {
                loop.atTurnEnd(turnEnd);
            }
        }

        /** Takes the last of the first {@code count}. */
        private Operation last(int count) {
            Operation[] first = new Operation[count];
            for (int i = 0; i < count; i++) {
                first[i] = started.removeFirst();
            }
            for (int i = count - 2; i >= 0; i--) {
                started.addFirst(first[i]);
            }
            return first[count - 1];
        }

        private int perform(Operation operation) {
            if (result == 0 && fault.isEmpty() && operation.kind() != Kind.OTHER) {
                ScatterList list = operation.list();
                if (operation.kind() == Kind.READ) {
                    list.copyIn(0, contents, operation.offset(), list.totalBytes());
                } else {
                    list.copyOut(0, contents, operation.offset(), list.totalBytes());
                }
            }
            return result;
        }

        @Override
        public void close() {
            if (!started.isEmpty()) {
                fault = "closed with operations under way";
            }
        }
    }
}
