package xenback.block.protocol;

/**
 * Where the fields of blkif's requests and responses stand (xen io/blkif.h), in bytes. Little endian.
 *
 * <pre>
 *   read, write, flush      64-bit   32-bit        response     64-bit   32-bit
 *   operation     u8           0        0          id     u64      0        0
 *   nr_segments   u8           1        1          operation u8    8        8
 *   handle        u16          2        2          status s16     10       10
 *   id            u64          8        4          total          16       12
 *   sector_number u64         16       12
 *   seg[11]       8 each      24       20          segment: gref u32 0, first_sect u8 4, last_sect u8 5
 *   total                    112      108
 * </pre>
 *
 * @param requestBytes size of a request, which is the size of a slot
 * @param responseBytes size of a response, padding included
 */
public record BlkifLayout(int requestBytes, int responseBytes, long idAt, long sectorNumberAt, long segmentsAt) {
    static final BlkifLayout BITS_32 = new BlkifLayout(108, 12, 4, 12, 20);
    static final BlkifLayout BITS_64 = new BlkifLayout(112, 16, 8, 16, 24);

    static final long OPERATION_AT = 0;
    static final long SEGMENT_COUNT_AT = 1;
    static final long HANDLE_AT = 2;

    static final long SEGMENT_BYTES = 8;
    static final long SEGMENT_GREF_AT = 0;
    static final long SEGMENT_FIRST_AT = 4;
    static final long SEGMENT_LAST_AT = 5;

    static final long RESPONSE_ID_AT = 0;
    static final long RESPONSE_OPERATION_AT = 8;
    static final long RESPONSE_STATUS_AT = 10;

    /** BLKIF_MAX_SEGMENTS_PER_REQUEST. */
    public static final int MAX_SEGMENTS = 11;

    /** Bytes of the unit of sector_number, first_sect and last_sect, whatever {@code sector-size} says. */
    public static final int SECTOR_BYTES = 512;

    /** Sectors of a page. */
    public static final int PAGE_SECTORS = 8;
}
