package xenback.net.packet;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * The CRC that SCTP uses (RFC 9260, appendix A). The JDK's own wants a ByteBuffer, which would be an object per packet.
 *
 * <p>Eight tables (slicing by eight): table {@code i} has what a byte leaves after {@code i} more bytes of zeroes.
 */
final class Crc32c {
    static final int INITIAL = -1;

    /** How the inverted result stands in the packet. */
    static final ValueLayout.OfInt STORED = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int POLYNOMIAL = 0x82F6_3B78; // 0x1EDC6F41, the bits in reverse order
    private static final int[] TABLES = tables();

    private Crc32c() {}

    private static int[] tables() {
        int[] tables = new int[8 * 256];
        for (int i = 0; i < 256; i++) {
            int crc = i;
            for (int bit = 0; bit < 8; bit++) {
                crc = crc >>> 1 ^ ((crc & 1) == 0 ? 0 : POLYNOMIAL);
            }
            tables[i] = crc;
        }
        for (int i = 256; i < tables.length; i++) {
            tables[i] = tables[i - 256] >>> 8 ^ tables[tables[i - 256] & 0xFF];
        }
        return tables;
    }

    static int update(int before, MemorySegment memory, long offset, int length) {
        int[] tables = TABLES;
        int crc = before;
        int at = 0;
        for (; at <= length - 8; at += 8) {
            long word = memory.get(LONG, offset + at) ^ Integer.toUnsignedLong(crc);
            int low = (int) word;
            int high = (int) (word >>> 32);
            crc = tables[7 * 256 + (low & 0xFF)]
                    ^ tables[6 * 256 + (low >>> 8 & 0xFF)]
                    ^ tables[5 * 256 + (low >>> 16 & 0xFF)]
                    ^ tables[4 * 256 + (low >>> 24)]
                    ^ tables[3 * 256 + (high & 0xFF)]
                    ^ tables[2 * 256 + (high >>> 8 & 0xFF)]
                    ^ tables[256 + (high >>> 16 & 0xFF)]
                    ^ tables[high >>> 24];
        }
        for (; at < length; at++) {
            crc = crc >>> 8 ^ tables[(crc ^ FrameHeaders.u8(memory, offset + at)) & 0xFF];
        }
        return crc;
    }

    static int updateZeroes(int before, int length) {
        int crc = before;
        for (int i = 0; i < length; i++) {
            crc = crc >>> 8 ^ TABLES[crc & 0xFF];
        }
        return crc;
    }
}
