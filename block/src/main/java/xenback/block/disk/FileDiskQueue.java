package xenback.block.disk;

import java.util.Arrays;
import xenback.xen.Errno;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.NativeFile;
import xenback.xen.io.ScatterList;

/** The data path of a {@link FileDisk} on one loop. A short transfer is continued until it is whole or fails. */
final class FileDiskQueue implements DiskQueue {
    private static final Completion NOBODY = (tag, result) -> {};
    private static final ScatterList[] NO_LISTS = {};

    private final FileDisk disk;
    private final EventLoop loop;
    private final FileDiskRanges ranges;
    private final Completion onRead = this::onRead;
    private final Completion onWritten = this::onWritten;

    // Reads and writes in flight, in parallel arrays by slot.
    private ScatterList[] lists = NO_LISTS;
    private long[] offsets = {};
    private Completion[] dones = {};
    private int[] tags = {};
    private int[] free = {};
    private int freeCount;

    FileDiskQueue(FileDisk disk, EventLoop loop) {
        this.disk = disk;
        this.loop = loop;
        ranges = new FileDiskRanges(disk, loop);
    }

    @Override
    public void read(long offsetBytes, ScatterList into, Completion done, int tag) {
        int slot = take(offsetBytes, into, done, tag);
        loop.readv(file(into, offsetBytes), into, offsetBytes, onRead, slot);
    }

    @Override
    public void write(long offsetBytes, ScatterList from, Completion done, int tag) {
        int slot = take(offsetBytes, from, done, tag);
        loop.writev(file(from, offsetBytes), from, offsetBytes, onWritten, slot);
    }

    @Override
    public void flush(Completion done, int tag) {
        loop.fdatasync(disk.buffered(), done, tag); // the same inode as the direct descriptor's
    }

    @Override
    public void discard(long offsetBytes, long lengthBytes, boolean secure, Completion done, int tag) {
        ranges.discard(offsetBytes, lengthBytes, secure, done, tag);
    }

    @Override
    public void writeZeroes(long offsetBytes, long lengthBytes, boolean mayDiscard, Completion done, int tag) {
        ranges.writeZeroes(offsetBytes, lengthBytes, mayDiscard, done, tag);
    }

    @Override
    public void close() {
        int running = free.length - freeCount + ranges.running();
        if (running > 0) {
            throw new IllegalStateException(running + " operations are in flight");
        }
    }

    private void onRead(int slot, int result) {
        ScatterList list = lists[slot];
        if (result == list.totalBytes()) {
            end(slot, 0);
        } else if (result < 0) {
            end(slot, result);
        } else if (result == 0) {
            disk.onShrunk();
            end(slot, -Errno.EIO.number());
        } else {
            advance(slot, result);
            loop.readv(file(list, offsets[slot]), list, offsets[slot], onRead, slot);
        }
    }

    private void onWritten(int slot, int result) {
        ScatterList list = lists[slot];
        if (result == list.totalBytes()) {
            end(slot, 0);
        } else if (result <= 0) {
            disk.onWriteFailed(-result);
            end(slot, result == 0 ? -Errno.EIO.number() : result);
        } else {
            advance(slot, result);
            loop.writev(file(list, offsets[slot]), list, offsets[slot], onWritten, slot);
        }
    }

    private NativeFile file(ScatterList list, long offset) {
        int alignment = disk.directAlignmentBytes();
        return disk.fileFor((offset & alignment - 1) == 0 && list.isAligned(alignment));
    }

    private void advance(int slot, int bytes) {
        lists[slot].advance(bytes);
        offsets[slot] += bytes;
    }

    private int take(long offset, ScatterList list, Completion done, int tag) {
        if (freeCount == 0) {
            grow();
        }
        int slot = free[--freeCount];
        lists[slot] = list;
        offsets[slot] = offset;
        dones[slot] = done;
        tags[slot] = tag;
        return slot;
    }

    private void end(int slot, int result) {
        Completion done = dones[slot];
        dones[slot] = NOBODY;
        free[freeCount++] = slot;
        done.onCompletion(tags[slot], result);
    }

    private void grow() {
        int old = free.length;
        int capacity = Math.max(32, old * 2);
        lists = Arrays.copyOf(lists, capacity);
        offsets = Arrays.copyOf(offsets, capacity);
        dones = Arrays.copyOf(dones, capacity);
        tags = Arrays.copyOf(tags, capacity);
        free = new int[capacity];
        freeCount = 0;
        for (int slot = capacity - 1; slot >= old; slot--) {
            free[freeCount++] = slot;
        }
    }
}
