package xenback.block.disk;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.ScatterList;

/**
 * A disk that forgets what is written to it and reads as zeroes, of any size, without a store: to measure what lies before a
 * store, and to try things out.
 */
public record NullDisk(String name, long sizeBytes, boolean readOnly) implements Disk {
    static final String PREFIX = "null:";

    private static final Pattern SIZE = Pattern.compile("([1-9][0-9]{0,17})([KMGT]?)");
    private static final int BLOCK_BYTES = 512;
    private static final MemorySegment ZEROES =
            Arena.global().allocate(16 * 1024, 64); // stays in the first-level cache

    /** Reads {@code null:SIZE}. */
    static NullDisk open(String target, boolean readOnly) throws XenException {
        Matcher size = SIZE.matcher(target.substring(PREFIX.length()));
        if (!size.matches()) {
            throw new XenException(Errno.EINVAL, target + ": write it as null:1G");
        }
        int shift = size.group(2).isEmpty() ? 0 : 10 * (1 + "KMGT".indexOf(size.group(2)));
        long number = Long.parseLong(size.group(1));
        if (number > Long.MAX_VALUE >> shift || (number << shift) % BLOCK_BYTES != 0) {
            throw new XenException(Errno.EINVAL, target + ": its size is too large or no multiple of " + BLOCK_BYTES);
        }
        return new NullDisk(target, number << shift, readOnly);
    }

    @Override
    public int logicalBlockBytes() {
        return BLOCK_BYTES;
    }

    @Override
    public int physicalBlockBytes() {
        return BLOCK_BYTES;
    }

    @Override
    public boolean canFlush() {
        return !readOnly;
    }

    @Override
    public boolean canDiscard() {
        return !readOnly;
    }

    @Override
    public int discardGranularityBytes() {
        return BLOCK_BYTES;
    }

    @Override
    public int discardAlignmentBytes() {
        return 0;
    }

    @Override
    public boolean canDiscardSecurely() {
        return !readOnly;
    }

    @Override
    public boolean canWriteZeroes() {
        return !readOnly;
    }

    @Override
    public boolean takesGrantedPages() {
        return true;
    }

    @Override
    public DiskQueue openQueue(EventLoop loop) {
        return new Queue(loop);
    }

    @Override
    public void close() {}

    /** Completes everything at once, that is in the loop's next step. */
    private record Queue(EventLoop loop) implements DiskQueue {
        @Override
        public void read(long offsetBytes, ScatterList into, Completion done, int tag) {
            for (int i = 0; i < into.count(); i++) {
                clear(into.memory(i), into.offset(i), into.length(i));
            }
            loop.completeSoon(done, tag, 0);
        }

        /** A slice to fill would be an object. */
        private static void clear(MemorySegment memory, long offset, long bytes) {
            for (long done = 0; done < bytes; done += ZEROES.byteSize()) {
                MemorySegment.copy(ZEROES, 0, memory, offset + done, Math.min(ZEROES.byteSize(), bytes - done));
            }
        }

        @Override
        public void write(long offsetBytes, ScatterList from, Completion done, int tag) {
            loop.completeSoon(done, tag, 0);
        }

        @Override
        public void flush(Completion done, int tag) {
            loop.completeSoon(done, tag, 0);
        }

        @Override
        public void discard(long offsetBytes, long lengthBytes, boolean secure, Completion done, int tag) {
            loop.completeSoon(done, tag, 0);
        }

        @Override
        public void writeZeroes(long offsetBytes, long lengthBytes, boolean mayDiscard, Completion done, int tag) {
            loop.completeSoon(done, tag, 0);
        }

        @Override
        public void close() {}
    }
}
