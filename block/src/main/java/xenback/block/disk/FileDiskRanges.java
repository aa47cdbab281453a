package xenback.block.disk;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.NativeFile;
import xenback.xen.io.ScatterList;
import xenback.xen.io.SpaceChange;

/**
 * The operations of a {@link FileDisk} on one loop that have a range and no bytes. Each is done piece by piece, one after
 * another, so that a range as long as the disk neither keeps a system call in the kernel for long nor fills the disk's queue.
 */
final class FileDiskRanges {
    /** What a device is asked to discard at once: few devices take more in one command. */
    static final long DISCARD_BYTES = 1L << 30;

    /**
     * What else is changed at once. Writes of the same file wait meanwhile: 12 ms was measured, and half a second would be
     * where no two pages lie side by side.
     */
    static final long CHANGE_BYTES = 64L << 20;

    /** Zeroes that are written are written inline where the page cache takes them: as much as a burst of a guest's writes. */
    private static final int WRITE_BYTES = 256 * 1024;

    private static final MemorySegment ZEROES =
            Arena.global().allocate(64 * 1024, 4096).asReadOnly();
    private static final int ZEROES_PER_WRITE = (int) (WRITE_BYTES / ZEROES.byteSize());
    private static final Completion NOBODY = (tag, result) -> {};

    private final FileDisk disk;
    private final EventLoop loop;
    private final Completion onDiscarded = this::onDiscarded;
    private final Completion onZeroed = this::onZeroed;
    private final Completion onWritten = this::onWritten;

    // What the store has refused, and is not asked again.
    private boolean cannotPunch;
    private boolean cannotZero;

    // Operations in flight, in parallel arrays by slot: what is left of the range, how, and the running piece.
    private long[] offsets = {};
    private long[] ends = {};
    private long[] pieces = {};
    private SpaceChange[] changes = {};
    private boolean[] mayDiscards = {};
    private @Nullable ScatterList[] lists = {}; // of zeroes; made when a slot first writes some
    private Completion[] dones = {};
    private int[] tags = {};
    private int[] free = {};
    private int freeCount;

    FileDiskRanges(FileDisk disk, EventLoop loop) {
        this.disk = disk;
        this.loop = loop;
    }

    /** Operations that have not completed. */
    int running() {
        return free.length - freeCount;
    }

    void discard(long offset, long length, boolean secure, Completion done, int tag) {
        // Only what is whole: a device does not forget a part of a block.
        long alignment = disk.spaceAlignmentBytes();
        long start = offset + alignment - 1 & -alignment;
        long end = offset + length & -alignment;
        if (!(secure ? disk.canDiscardSecurely() : disk.canDiscard())) {
            loop.completeSoon(done, tag, -Errno.EOPNOTSUPP.number());
        } else if (isOutside(offset, length)) {
            loop.completeSoon(done, tag, -Errno.EIO.number());
        } else if (secure && (start != offset || end != offset + length)) {
            loop.completeSoon(done, tag, -Errno.EINVAL.number()); // what is left over would stay readable
        } else if (start >= end) {
            loop.completeSoon(done, tag, 0);
        } else {
            int slot = take(start, end, done, tag);
            changes[slot] = disk.discardChange(secure);
            discardNext(slot);
        }
    }

    void writeZeroes(long offset, long length, boolean mayDiscard, Completion done, int tag) {
        if (disk.readOnly()) {
            loop.completeSoon(done, tag, -Errno.EOPNOTSUPP.number());
        } else if (isOutside(offset, length)) {
            loop.completeSoon(done, tag, -Errno.EIO.number());
        } else if (length == 0) {
            loop.completeSoon(done, tag, 0);
        } else {
            int slot = take(offset, offset + length, done, tag);
            mayDiscards[slot] = mayDiscard;
            zeroNext(slot);
        }
    }

    private void discardNext(int slot) {
        long bytes = changes[slot] == SpaceChange.PUNCH_HOLE ? CHANGE_BYTES : DISCARD_BYTES;
        change(slot, disk.discards().pieceEnd(offsets[slot], bytes), onDiscarded);
    }

    private void onDiscarded(int slot, int result) {
        if (result == -Errno.EINTR.number()) {
            discardNext(slot);
        } else if (result < 0) {
            if (result == -Errno.EOPNOTSUPP.number()) {
                disk.onDiscardRefused(changes[slot] == SpaceChange.SECURE_DISCARD);
            }
            end(slot, result);
        } else if (isPieceLast(slot)) {
            end(slot, 0);
        } else {
            discardNext(slot);
        }
    }

    private void zeroNext(int slot) {
        boolean punch = mayDiscards[slot] && !cannotPunch;
        long alignment = disk.spaceAlignmentBytes();
        long offset = offsets[slot];
        long head = -offset & alignment - 1;
        long whole = ends[slot] - offset - head & -alignment;
        if (!punch && cannotZero) {
            write(slot, ends[slot]);
        } else if (head > 0) {
            write(slot, offset + head); // a part of a block, which a device cannot change by itself
        } else if (whole <= 0) {
            write(slot, ends[slot]);
        } else {
            changes[slot] = punch ? SpaceChange.PUNCH_HOLE : SpaceChange.ZERO_RANGE;
            change(slot, Math.min(offset + whole, disk.discards().pieceEnd(offset, CHANGE_BYTES)), onZeroed);
        }
    }

    private void onZeroed(int slot, int result) {
        if (result == -Errno.EOPNOTSUPP.number()) {
            cannotPunch |= changes[slot] == SpaceChange.PUNCH_HOLE;
            cannotZero |= changes[slot] == SpaceChange.ZERO_RANGE;
            zeroNext(slot); // the next best way
        } else if (result == -Errno.EINTR.number()) {
            zeroNext(slot);
        } else if (result < 0) {
            disk.onWriteFailed(-result);
            end(slot, result);
        } else if (isPieceLast(slot)) {
            end(slot, 0);
        } else {
            zeroNext(slot);
        }
    }

    private void onWritten(int slot, int result) {
        if (result <= 0) {
            disk.onWriteFailed(-result);
            end(slot, result == 0 ? -Errno.EIO.number() : result);
            return;
        }
        pieces[slot] = result; // may be short
        if (isPieceLast(slot)) {
            end(slot, 0);
        } else {
            zeroNext(slot);
        }
    }

    /** Has the store change a piece, up to {@code pieceEnd} or the end of the range. */
    private void change(int slot, long pieceEnd, Completion done) {
        long offset = offsets[slot];
        pieces[slot] = Math.min(pieceEnd, ends[slot]) - offset;
        loop.changeSpace(disk.buffered(), changes[slot], offset, pieces[slot], done, slot);
    }

    /** Writes a piece of zeroes, at most up to {@code pieceEnd}. */
    private void write(int slot, long pieceEnd) {
        ScatterList list = lists[slot];
        if (list == null) {
            list = new ScatterList(ZEROES_PER_WRITE, Arena.ofAuto());
            lists[slot] = list;
        }
        list.clear();
        long left = Math.min(Math.min(pieceEnd, ends[slot]) - offsets[slot], WRITE_BYTES);
        while (left > 0) {
            long bytes = Math.min(left, ZEROES.byteSize());
            list.add(ZEROES, 0, bytes);
            left -= bytes;
        }
        int alignment = disk.directAlignmentBytes();
        NativeFile file = disk.fileFor((offsets[slot] & alignment - 1) == 0 && list.isAligned(alignment));
        loop.writev(file, list, offsets[slot], onWritten, slot);
    }

    /** Takes note of a piece that is done; true if it was the last one. */
    private boolean isPieceLast(int slot) {
        offsets[slot] += pieces[slot];
        return offsets[slot] == ends[slot];
    }

    private boolean isOutside(long offset, long length) {
        long size = disk.sizeBytes();
        return offset < 0 || length < 0 || offset > size || length > size - offset;
    }

    private int take(long offset, long end, Completion done, int tag) {
        if (freeCount == 0) {
            grow();
        }
        int slot = free[--freeCount];
        offsets[slot] = offset;
        ends[slot] = end;
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
        int capacity = Math.max(8, old * 2);
        offsets = Arrays.copyOf(offsets, capacity);
        ends = Arrays.copyOf(ends, capacity);
        pieces = Arrays.copyOf(pieces, capacity);
        changes = Arrays.copyOf(changes, capacity);
        mayDiscards = Arrays.copyOf(mayDiscards, capacity);
        lists = Arrays.copyOf(lists, capacity);
        dones = Arrays.copyOf(dones, capacity);
        tags = Arrays.copyOf(tags, capacity);
        free = new int[capacity];
        freeCount = 0;
        for (int slot = capacity - 1; slot >= old; slot--) {
            free[freeCount++] = slot;
        }
    }
}
