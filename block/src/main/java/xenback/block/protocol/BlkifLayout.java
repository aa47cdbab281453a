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
 *
 *   discard                 64-bit   32-bit        indirect             64-bit   32-bit
 *   operation     u8           0        0          operation       u8      0        0
 *   flag          u8           1        1          indirect_op     u8      1        1
 *   handle        u16          2        2          nr_segments     u16     2        2
 *   id            u64          8        4          id              u64     8        4
 *   sector_number u64         16       12          sector_number   u64    16       12
 *   nr_sectors    u64         24       20          handle          u16    24       20
 *                                                  indirect_grefs  u32[8] 28       24
 * </pre>
 *
 * A page that an indirect request names holds 512 segments of the form above.
 *
 * @param requestBytes size of a request, which is the size of a slot
 * @param responseBytes size of a response, padding included
 */
public record BlkifLayout(
        int requestBytes,
        int responseBytes,
        long idAt,
        long sectorNumberAt,
        long segmentsAt,
        long discardSectorsAt,
        long indirectHandleAt,
        long indirectGrefsAt) {
    static final BlkifLayout BITS_32 = new BlkifLayout(108, 12, 4, 12, 20, 20, 20, 24);
    static final BlkifLayout BITS_64 = new BlkifLayout(112, 16, 8, 16, 24, 24, 24, 28);

    static final long OPERATION_AT = 0;
    static final long SEGMENT_COUNT_AT = 1;
    static final long HANDLE_AT = 2;

    static final long DISCARD_FLAG_AT = 1;
    static final int DISCARD_SECURE = 1;

    static final long INDIRECT_OPERATION_AT = 1;
    static final long INDIRECT_COUNT_AT = 2;

    static final long SEGMENT_BYTES = 8;
    static final long SEGMENT_GREF_AT = 0;
    static final long SEGMENT_FIRST_AT = 4;
    static final long SEGMENT_LAST_AT = 5;

    static final long RESPONSE_ID_AT = 0;
    static final long RESPONSE_OPERATION_AT = 8;
    static final long RESPONSE_STATUS_AT = 10;

    /** BLKIF_MAX_SEGMENTS_PER_REQUEST. */
    public static final int MAX_SEGMENTS = 11;

    /** Segments in a page that an indirect request names. */
    public static final int SEGMENTS_PER_PAGE = 512;

    /** BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST. */
    public static final int MAX_INDIRECT_PAGES = 8;

    /** What an indirect request can carry at most, whatever is offered. */
    public static final int MAX_INDIRECT_SEGMENTS = MAX_INDIRECT_PAGES * SEGMENTS_PER_PAGE;

    /** Bytes of the unit of sector_number, first_sect and last_sect, whatever {@code sector-size} says. */
    public static final int SECTOR_BYTES = 512;

    /** Sectors of a page. */
    public static final int PAGE_SECTORS = 8;

    /** How many pages hold the descriptors of so many segments. */
    public static int indirectPages(int segments) {
        return (segments + SEGMENTS_PER_PAGE - 1) / SEGMENTS_PER_PAGE;
    }

    /** Bytes of the descriptors of so many segments. */
    public static int descriptorBytes(int segments) {
        return segments * (int) SEGMENT_BYTES;
    }
}
