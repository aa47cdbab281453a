package xenback.block.protocol;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/**
 * One request, decoded. One object per ring slot lives as long as the session and is filled anew by {@link #decode}, always
 * from a private copy of the slot: what the guest does to the slot meanwhile is not seen (XSA-155). The segments of an
 * indirect request follow with {@link #decodeSegments}, from a private copy as well.
 *
 * <p>Room for segments grows with the largest request that the object ever held; else nothing is allocated.
 */
public final class BlkifRequest {
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    private static final MemorySegment ZEROES = Arena.global().allocate(BlkifLayout.BITS_64.requestBytes(), 8);

    private int slotOperation;
    private int operation;
    private int segmentCount;
    private long id;
    private long sectorNumber;
    private long discardSectors;
    private boolean secure;
    private int totalBytes;
    private final int[] descriptorGrefs = new int[BlkifLayout.MAX_INDIRECT_PAGES];

    /** The segments as they stand in memory: gref in bits 0 to 31, first sector in 32 to 39, last in 40 to 47. */
    private long[] segments = new long[BlkifLayout.MAX_SEGMENTS];

    /**
     * Number of the operation, 0..255; one of {@link Blkif}'s or unknown. Of an indirect request it is the one that it carries,
     * which is what its response names too (Linux' blkfront takes {@link Blkif#OP_INDIRECT} in a response for a bug).
     */
    public int operation() {
        return operation;
    }

    /** True if the segments are not in the slot but in pages that it names. */
    public boolean isIndirect() {
        return slotOperation == Blkif.OP_INDIRECT;
    }

    /** The frontend's own number, given back in the response. */
    public long id() {
        return id;
    }

    /** Where on the disk it starts, in 512-byte sectors, unsigned. */
    public long sectorNumber() {
        return sectorNumber;
    }

    /** Length of a discard in 512-byte sectors, unsigned. */
    public long discardSectors() {
        return discardSectors;
    }

    /** True if a discard asks that nobody can read the old contents again. */
    public boolean secure() {
        return secure;
    }

    /** Valid after {@link #check} said {@link Rule#NONE}. */
    public int segmentCount() {
        return segmentCount;
    }

    /** Grant of the page with the descriptors from {@code page * 512} on. */
    public int descriptorGref(int page) {
        return descriptorGrefs[page];
    }

    public int gref(int segment) {
        return (int) segments[segment];
    }

    /** Where in its page a segment starts, bytes. */
    public int segmentOffset(int segment) {
        return first(segments[segment]) * BlkifLayout.SECTOR_BYTES;
    }

    /** Bytes of a segment. */
    public int segmentBytes(int segment) {
        return (last(segments[segment]) - first(segments[segment]) + 1) * BlkifLayout.SECTOR_BYTES;
    }

    /** Bytes of all segments, valid after they were checked; cannot overflow: at most 4096 pages. */
    public int totalBytes() {
        return totalBytes;
    }

    /** Reads every field from a private copy of a slot. Nothing is judged yet. */
    public void decode(MemorySegment copy, BlkifLayout layout) {
        slotOperation = Byte.toUnsignedInt(copy.get(BYTE, BlkifLayout.OPERATION_AT));
        operation = slotOperation;
        id = copy.get(LONG, layout.idAt());
        sectorNumber = copy.get(LONG, layout.sectorNumberAt());
        totalBytes = 0;
        switch (slotOperation) {
            case Blkif.OP_DISCARD -> {
                secure = (copy.get(BYTE, BlkifLayout.DISCARD_FLAG_AT) & BlkifLayout.DISCARD_SECURE) != 0;
                discardSectors = copy.get(LONG, layout.discardSectorsAt());
                segmentCount = 0;
            }
            case Blkif.OP_INDIRECT -> {
                operation = Byte.toUnsignedInt(copy.get(BYTE, BlkifLayout.INDIRECT_OPERATION_AT));
                segmentCount = Short.toUnsignedInt(copy.get(SHORT, BlkifLayout.INDIRECT_COUNT_AT));
                for (int i = 0; i < BlkifLayout.MAX_INDIRECT_PAGES; i++) {
                    descriptorGrefs[i] = copy.get(INT, layout.indirectGrefsAt() + 4L * i);
                }
            }
            default -> {
                segmentCount = Byte.toUnsignedInt(copy.get(BYTE, BlkifLayout.SEGMENT_COUNT_AT));
                for (int i = 0; i < Math.min(segmentCount, BlkifLayout.MAX_SEGMENTS); i++) {
                    segments[i] = copy.get(LONG, layout.segmentsAt() + BlkifLayout.SEGMENT_BYTES * i);
                }
            }
        }
    }

    /**
     * Reads the segments of an indirect request, whose {@link #check} has said {@link Rule#NONE}, from a private copy of
     * its descriptor pages that lie side by side from {@code at} on.
     */
    public void decodeSegments(MemorySegment copy, long at) {
        if (segments.length < segmentCount) {
            segments = new long[segmentCount];
        }
        for (int i = 0; i < segmentCount; i++) {
            segments[i] = copy.get(LONG, at + BlkifLayout.SEGMENT_BYTES * i);
        }
    }

    /**
     * Judges what is in the slot; of an indirect request everything but its segments.
     *
     * @param sizeBytes of the disk
     * @param logicalBlockBytes of the disk, a power of two
     * @return the first rule it breaks, or {@link Rule#NONE}
     */
    public Rule check(long sizeBytes, int logicalBlockBytes, boolean readOnly, Offered offered) {
        return switch (slotOperation) {
            case Blkif.OP_DISCARD -> checkDiscard(sizeBytes, logicalBlockBytes, readOnly, offered);
            case Blkif.OP_INDIRECT -> checkIndirect(readOnly, offered);
            default -> checkDirect(sizeBytes, logicalBlockBytes, readOnly, offered);
        };
    }

    /** Judges the segments: of an indirect request after {@link #decodeSegments}, of another as a part of {@link #check}. */
    public Rule checkSegments(long sizeBytes, int logicalBlockBytes) {
        int sectors = 0;
        int blockSectors = logicalBlockBytes / BlkifLayout.SECTOR_BYTES;
        for (int i = 0; i < segmentCount; i++) {
            long segment = segments[i];
            int first = first(segment);
            int last = last(segment);
            if (last < first) {
                return Rule.SEGMENT_BACKWARDS;
            }
            if (last >= BlkifLayout.PAGE_SECTORS) {
                return Rule.SEGMENT_BEYOND_PAGE;
            }
            if (((first | last - first + 1) & blockSectors - 1) != 0) {
                return Rule.MISALIGNED;
            }
            sectors += last - first + 1;
        }
        totalBytes = sectors * BlkifLayout.SECTOR_BYTES;
        return checkRange(sectors, sizeBytes, logicalBlockBytes);
    }

    private Rule checkDirect(long sizeBytes, int logicalBlockBytes, boolean readOnly, Offered offered) {
        boolean ordered = operation == Blkif.OP_FLUSH_DISKCACHE || operation == Blkif.OP_WRITE_BARRIER;
        boolean write = operation == Blkif.OP_WRITE || ordered && segmentCount > 0;
        if (!write && !ordered && operation != Blkif.OP_READ) {
            return Rule.UNSUPPORTED_OPERATION;
        }
        if (segmentCount > BlkifLayout.MAX_SEGMENTS) {
            return Rule.TOO_MANY_SEGMENTS;
        }
        if (write && readOnly) {
            return Rule.WRITE_TO_READ_ONLY;
        }
        if (operation == Blkif.OP_FLUSH_DISKCACHE && !offered.flush()
                || operation == Blkif.OP_WRITE_BARRIER && !offered.barrier()) {
            return Rule.UNSUPPORTED_OPERATION;
        }
        if (segmentCount == 0) {
            return ordered ? Rule.NONE : Rule.NO_SEGMENTS;
        }
        return checkSegments(sizeBytes, logicalBlockBytes);
    }

    private Rule checkIndirect(boolean readOnly, Offered offered) {
        if (offered.indirectSegments() == 0) {
            return Rule.UNSUPPORTED_OPERATION;
        }
        if (operation != Blkif.OP_READ && operation != Blkif.OP_WRITE) {
            return Rule.INDIRECT_OPERATION;
        }
        if (segmentCount == 0) {
            return Rule.NO_SEGMENTS;
        }
        if (segmentCount > offered.indirectSegments()) {
            return Rule.TOO_MANY_SEGMENTS;
        }
        return operation == Blkif.OP_WRITE && readOnly ? Rule.WRITE_TO_READ_ONLY : Rule.NONE;
    }

    private Rule checkDiscard(long sizeBytes, int logicalBlockBytes, boolean readOnly, Offered offered) {
        if (readOnly) {
            return Rule.WRITE_TO_READ_ONLY; // before anything else: CVE-2013-2140
        }
        if (!offered.discard()) {
            return Rule.UNSUPPORTED_OPERATION;
        }
        if (discardSectors == 0) {
            return Rule.EMPTY_DISCARD;
        }
        secure &= offered.secureDiscard();
        Rule range = checkRange(discardSectors, sizeBytes, logicalBlockBytes);
        boolean aligned = (discardSectors * BlkifLayout.SECTOR_BYTES & logicalBlockBytes - 1) == 0;
        return range == Rule.NONE && !aligned ? Rule.MISALIGNED : range;
    }

    private Rule checkRange(long lengthSectors, long sizeBytes, int logicalBlockBytes) {
        long sectors = sizeBytes / BlkifLayout.SECTOR_BYTES;
        // In this order no sum can overflow: both numbers are unsigned and the guest's.
        if (Long.compareUnsigned(sectorNumber, sectors) >= 0
                || Long.compareUnsigned(lengthSectors, sectors - sectorNumber) > 0) {
            return Rule.BEYOND_END;
        }
        return (sectorNumber * BlkifLayout.SECTOR_BYTES & logicalBlockBytes - 1) == 0 ? Rule.NONE : Rule.MISALIGNED;
    }

    /** Begins a request to be encoded, without segments. */
    public void compose(int operation, long id, long sectorNumber) {
        this.operation = operation;
        slotOperation = operation;
        this.id = id;
        this.sectorNumber = sectorNumber;
        segmentCount = 0;
        discardSectors = 0;
        secure = false;
    }

    /** Adds a segment to a request to be encoded. */
    public void addSegment(int gref, int firstSector, int lastSector) {
        if (segmentCount == segments.length) {
            segments = Arrays.copyOf(segments, segmentCount * 2);
        }
        segments[segmentCount++] = Integer.toUnsignedLong(gref) | (long) firstSector << 32 | (long) lastSector << 40;
    }

    /** Gives a discard to be encoded its length in 512-byte sectors. */
    public void discard(long sectors, boolean secure) {
        discardSectors = sectors;
        this.secure = secure;
    }

    /** Writes the request into a slot of {@code layout.requestBytes()} bytes; every byte of it is written. */
    public void encode(MemorySegment slot, BlkifLayout layout, int handle) {
        begin(slot, layout, operation);
        slot.set(SHORT, BlkifLayout.HANDLE_AT, (short) handle);
        if (operation == Blkif.OP_DISCARD) {
            slot.set(BYTE, BlkifLayout.DISCARD_FLAG_AT, (byte) (secure ? BlkifLayout.DISCARD_SECURE : 0));
            slot.set(LONG, layout.discardSectorsAt(), discardSectors);
            return;
        }
        slot.set(BYTE, BlkifLayout.SEGMENT_COUNT_AT, (byte) segmentCount);
        for (int i = 0; i < Math.min(segmentCount, BlkifLayout.MAX_SEGMENTS); i++) {
            slot.set(LONG, layout.segmentsAt() + BlkifLayout.SEGMENT_BYTES * i, segments[i]);
        }
    }

    /**
     * Writes the request into a slot as an indirect one, and its segments into pages side by side from {@code at} on.
     *
     * @param pageGrefs grants of those pages, from {@code firstGref} on as many as the segments need
     */
    public void encodeIndirect(
            MemorySegment slot,
            BlkifLayout layout,
            int handle,
            MemorySegment pages,
            long at,
            int[] pageGrefs,
            int firstGref) {
        begin(slot, layout, Blkif.OP_INDIRECT);
        slot.set(BYTE, BlkifLayout.INDIRECT_OPERATION_AT, (byte) operation);
        slot.set(SHORT, BlkifLayout.INDIRECT_COUNT_AT, (short) segmentCount);
        slot.set(SHORT, layout.indirectHandleAt(), (short) handle);
        for (int i = 0; i < BlkifLayout.indirectPages(segmentCount); i++) {
            slot.set(INT, layout.indirectGrefsAt() + 4L * i, pageGrefs[firstGref + i]);
        }
        for (int i = 0; i < segmentCount; i++) {
            pages.set(LONG, at + BlkifLayout.SEGMENT_BYTES * i, segments[i]);
        }
    }

    private void begin(MemorySegment slot, BlkifLayout layout, int slotOperation) {
        MemorySegment.copy(ZEROES, 0, slot, 0, layout.requestBytes()); // a slice would be an object
        slot.set(BYTE, BlkifLayout.OPERATION_AT, (byte) slotOperation);
        slot.set(LONG, layout.idAt(), id);
        slot.set(LONG, layout.sectorNumberAt(), sectorNumber);
    }

    private static int first(long segment) {
        return (int) (segment >>> 32) & 0xFF;
    }

    private static int last(long segment) {
        return (int) (segment >>> 40) & 0xFF;
    }
}
