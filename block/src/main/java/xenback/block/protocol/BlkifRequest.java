package xenback.block.protocol;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * One request, decoded. One object per ring slot lives as long as the session and is filled anew by {@link #decode}, always
 * from a private copy of the slot: what the guest does to the slot meanwhile is not seen (XSA-155).
 */
public final class BlkifRequest {
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    private int operation;
    private int segmentCount;
    private long id;
    private long sectorNumber;
    private final int[] grefs = new int[BlkifLayout.MAX_SEGMENTS];
    private final int[] firstSectors = new int[BlkifLayout.MAX_SEGMENTS];
    private final int[] lastSectors = new int[BlkifLayout.MAX_SEGMENTS];

    /** Number of the operation, 0..255; one of {@link Blkif}'s or unknown. */
    public int operation() {
        return operation;
    }

    /** The frontend's own number, given back in the response. */
    public long id() {
        return id;
    }

    /** Where on the disk it starts, in 512-byte sectors, unsigned. */
    public long sectorNumber() {
        return sectorNumber;
    }

    /** Valid after {@link #check} said {@link Rule#NONE}: 0..11. */
    public int segmentCount() {
        return segmentCount;
    }

    public int gref(int segment) {
        return grefs[segment];
    }

    /** Where in its page a segment starts, bytes. */
    public int segmentOffset(int segment) {
        return firstSectors[segment] * BlkifLayout.SECTOR_BYTES;
    }

    /** Bytes of a segment. */
    public int segmentBytes(int segment) {
        return (lastSectors[segment] - firstSectors[segment] + 1) * BlkifLayout.SECTOR_BYTES;
    }

    /** Bytes of all segments; cannot overflow: at most 11 pages. */
    public int totalBytes() {
        int bytes = 0;
        for (int i = 0; i < segmentCount; i++) {
            bytes += segmentBytes(i);
        }
        return bytes;
    }

    /** Reads every field from a private copy of a slot. Nothing is judged yet. */
    public void decode(MemorySegment copy, BlkifLayout layout) {
        operation = Byte.toUnsignedInt(copy.get(BYTE, BlkifLayout.OPERATION_AT));
        segmentCount = Byte.toUnsignedInt(copy.get(BYTE, BlkifLayout.SEGMENT_COUNT_AT));
        id = copy.get(LONG, layout.idAt());
        sectorNumber = copy.get(LONG, layout.sectorNumberAt());
        int present = Math.min(segmentCount, BlkifLayout.MAX_SEGMENTS);
        for (int i = 0; i < present; i++) {
            long at = layout.segmentsAt() + BlkifLayout.SEGMENT_BYTES * i;
            grefs[i] = copy.get(INT, at + BlkifLayout.SEGMENT_GREF_AT);
            firstSectors[i] = Byte.toUnsignedInt(copy.get(BYTE, at + BlkifLayout.SEGMENT_FIRST_AT));
            lastSectors[i] = Byte.toUnsignedInt(copy.get(BYTE, at + BlkifLayout.SEGMENT_LAST_AT));
        }
    }

    /**
     * Judges the request.
     *
     * @param sizeBytes of the disk
     * @param logicalBlockBytes of the disk, a power of two
     * @return the first rule it breaks, or {@link Rule#NONE}
     */
    public Rule check(long sizeBytes, int logicalBlockBytes, boolean readOnly) {
        boolean flush = operation == Blkif.OP_FLUSH_DISKCACHE;
        boolean write = operation == Blkif.OP_WRITE || flush && segmentCount > 0;
        if (operation != Blkif.OP_READ && !write && !flush) {
            return Rule.UNSUPPORTED_OPERATION;
        }
        if (segmentCount == 0 && !flush) {
            return Rule.NO_SEGMENTS;
        }
        if (segmentCount > BlkifLayout.MAX_SEGMENTS) {
            return Rule.TOO_MANY_SEGMENTS;
        }
        if (write && readOnly) {
            return Rule.WRITE_TO_READ_ONLY;
        }
        for (int i = 0; i < segmentCount; i++) {
            if (lastSectors[i] < firstSectors[i]) {
                return Rule.SEGMENT_BACKWARDS;
            }
            if (lastSectors[i] >= BlkifLayout.PAGE_SECTORS) {
                return Rule.SEGMENT_BEYOND_PAGE;
            }
            if ((segmentOffset(i) | segmentBytes(i)) % logicalBlockBytes != 0) {
                return Rule.MISALIGNED;
            }
        }
        if (segmentCount > 0) {
            long sectors = sizeBytes / BlkifLayout.SECTOR_BYTES;
            long length = totalBytes() / BlkifLayout.SECTOR_BYTES;
            // In this order no sum can overflow: sectorNumber is unsigned and the guest's.
            if (Long.compareUnsigned(sectorNumber, sectors) >= 0 || length > sectors - sectorNumber) {
                return Rule.BEYOND_END;
            }
            if (sectorNumber * BlkifLayout.SECTOR_BYTES % logicalBlockBytes != 0) {
                return Rule.MISALIGNED;
            }
        }
        return Rule.NONE;
    }

    /** Begins a request to be encoded, without segments. */
    public void compose(int operation, long id, long sectorNumber) {
        this.operation = operation;
        this.id = id;
        this.sectorNumber = sectorNumber;
        segmentCount = 0;
    }

    /** Adds a segment to a request to be encoded. */
    public void addSegment(int gref, int firstSector, int lastSector) {
        grefs[segmentCount] = gref;
        firstSectors[segmentCount] = firstSector;
        lastSectors[segmentCount] = lastSector;
        segmentCount++;
    }

    /** Writes the request into a slot of {@code layout.requestBytes()} bytes; every byte of it is written. */
    public void encode(MemorySegment slot, BlkifLayout layout, int handle) {
        slot.asSlice(0, layout.requestBytes()).fill((byte) 0);
        slot.set(BYTE, BlkifLayout.OPERATION_AT, (byte) operation);
        slot.set(BYTE, BlkifLayout.SEGMENT_COUNT_AT, (byte) segmentCount);
        slot.set(SHORT, BlkifLayout.HANDLE_AT, (short) handle);
        slot.set(LONG, layout.idAt(), id);
        slot.set(LONG, layout.sectorNumberAt(), sectorNumber);
        for (int i = 0; i < segmentCount; i++) {
            long at = layout.segmentsAt() + BlkifLayout.SEGMENT_BYTES * i;
            slot.set(INT, at + BlkifLayout.SEGMENT_GREF_AT, grefs[i]);
            slot.set(BYTE, at + BlkifLayout.SEGMENT_FIRST_AT, (byte) firstSectors[i]);
            slot.set(BYTE, at + BlkifLayout.SEGMENT_LAST_AT, (byte) lastSectors[i]);
        }
    }
}
