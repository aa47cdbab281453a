package xenback.block;

import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;
import xenback.block.disk.Disk;
import xenback.block.disk.DiskQueue;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.ScatterList;

/**
 * A disk whose operations end when the test says so, each with the result that the test gives. What was started is told in
 * words, such as {@code write 0+4096}, in order.
 */
public final class HeldDisk implements Disk {
    public final List<String> started = new CopyOnWriteArrayList<>();

    /** Results of operations that end at once, by the word they begin with; others are held. */
    public volatile String doneAtOnce = "";

    public volatile int result;
    public volatile boolean readOnly;
    public volatile boolean grantedPages;
    public volatile long sizeBytes;
    public volatile boolean grown;

    private record Held(EventLoop loop, Completion done, int tag) {}

    /** By the number in which they were started; null when a test has ended one. */
    private final List<@Nullable Held> held = new ArrayList<>();

    /** Nothing is held any more. */
    private boolean released;

    public HeldDisk(long sizeBytes) {
        this.sizeBytes = sizeBytes;
    }

    /** Ends the operation that was started as number {@code index}, from 0. */
    public void end(int index, int withResult) {
        Held one;
        synchronized (held) {
            one = held.set(index, null);
        }
        if (one == null) {
            throw new IllegalStateException("operation " + index + " has ended");
        }
        one.loop().execute(() -> one.done().onCompletion(one.tag(), withResult));
    }

    /** Ends everything, now and from now on, so that a device can close after a test that failed. */
    public void release() {
        synchronized (held) {
            released = true;
            for (int i = 0; i < held.size(); i++) {
                if (held.get(i) != null) {
                    end(i, 0);
                }
            }
        }
    }

    /** Ends the first operations in order, with success and in one turn of the loop; {@code watch} runs after each. */
    public void endTogether(int count, Runnable watch) {
        List<Held> ending = new ArrayList<>();
        synchronized (held) {
            for (int i = 0; i < count; i++) {
                ending.add(Objects.requireNonNull(held.set(i, null)));
            }
        }
        ending.getFirst().loop().execute(() -> {
            for (Held one : ending) {
                one.done().onCompletion(one.tag(), 0);
                watch.run();
            }
        });
    }

    /** Waits until so many operations have been started. */
    public void awaitStarted(int count) throws Exception {
        Await.until(() -> started.size() >= count, () -> count + " operations, there are " + started);
    }

    @Override
    public String name() {
        return "held";
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public boolean refreshSize(boolean mayShrink) {
        boolean changed = grown;
        grown = false;
        return changed;
    }

    @Override
    public int logicalBlockBytes() {
        return 512;
    }

    @Override
    public int physicalBlockBytes() {
        return 512;
    }

    @Override
    public boolean readOnly() {
        return readOnly;
    }

    @Override
    public boolean canFlush() {
        return !readOnly;
    }

    @Override
    public boolean canDiscard() {
        return true;
    }

    @Override
    public int discardGranularityBytes() {
        return 4096;
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
        return new Queue(loop);
    }

    @Override
    public void close() {}

    private final class Queue implements DiskQueue {
        private final EventLoop loop;

        Queue(EventLoop loop) {
            this.loop = loop;
        }

        @Override
        public void read(long offsetBytes, ScatterList into, Completion done, int tag) {
            for (int i = 0; i < into.count(); i++) {
                into.memory(i).asSlice(into.offset(i), into.length(i)).fill((byte) 0x5A);
            }
            start("read " + offsetBytes + "+" + into.totalBytes(), done, tag);
        }

        @Override
        public void write(long offsetBytes, ScatterList from, Completion done, int tag) {
            int first = Byte.toUnsignedInt(from.memory(0).get(ValueLayout.JAVA_BYTE, from.offset(0)));
            start("write " + offsetBytes + "+" + from.totalBytes() + " of " + first, done, tag);
        }

        @Override
        public void flush(Completion done, int tag) {
            start("flush", done, tag);
        }

        @Override
        public void discard(long offsetBytes, long lengthBytes, boolean secure, Completion done, int tag) {
            start((secure ? "secure discard " : "discard ") + offsetBytes + "+" + lengthBytes, done, tag);
        }

        @Override
        public void writeZeroes(long offsetBytes, long lengthBytes, boolean mayDiscard, Completion done, int tag) {
            start("zeroes " + offsetBytes + "+" + lengthBytes, done, tag);
        }

        @Override
        public void close() {}

        private void start(String what, Completion done, int tag) {
            boolean atOnce;
            synchronized (held) {
                atOnce = released || !doneAtOnce.isEmpty() && what.startsWith(doneAtOnce);
                held.add(atOnce ? null : new Held(loop, done, tag));
                started.add(what);
            }
            if (atOnce) {
                loop.completeSoon(done, tag, result);
            }
        }
    }
}
