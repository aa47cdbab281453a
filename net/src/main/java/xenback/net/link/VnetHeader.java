package xenback.net.link;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What is told of a frame in front of it: virtio_net_hdr (linux/virtio_net.h), 10 bytes, in the order of this machine.
 *
 * <pre>
 *   flags u8 @0   gso_type u8 @1   hdr_len u16 @2   gso_size u16 @4   csum_start u16 @6   csum_offset u16 @8
 * </pre>
 */
public final class VnetHeader {
    /** Bytes of the header. A frame behind it at 8-aligned memory has its IP header at a multiple of 8. */
    public static final int BYTES = 10;

    /** The checksum at csum_start + csum_offset holds the pseudo-header's sum; the rest from csum_start on is to be added. */
    public static final int NEEDS_CSUM = 1;

    /** The payload is what it was when it was sent: nobody need look at the checksum. */
    public static final int DATA_VALID = 2;

    public static final int GSO_NONE = 0;
    public static final int GSO_TCPV4 = 1;
    public static final int GSO_TCPV6 = 4;

    /** Beside a type: the frame has congestion notification (CWR). */
    public static final int GSO_ECN = 0x80;

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    private VnetHeader() {}

    /** A frame of which nothing is left undone. */
    public static void put(MemorySegment memory, long at, int flags) {
        put(memory, at, flags, GSO_NONE, 0, 0, 0, 0);
    }

    /** Writes all fields. */
    public static void put(
            MemorySegment memory,
            long at,
            int flags,
            int gsoType,
            int headerBytes,
            int gsoSize,
            int csumStart,
            int csumOffset) {
        memory.set(BYTE, at, (byte) flags);
        memory.set(BYTE, at + 1, (byte) gsoType);
        memory.set(SHORT, at + 2, (short) headerBytes);
        memory.set(SHORT, at + 4, (short) gsoSize);
        memory.set(SHORT, at + 6, (short) csumStart);
        memory.set(SHORT, at + 8, (short) csumOffset);
    }

    public static int flags(MemorySegment memory, long at) {
        return Byte.toUnsignedInt(memory.get(BYTE, at));
    }

    /** The type of segmentation, without {@link #GSO_ECN}. */
    public static int gsoType(MemorySegment memory, long at) {
        return Byte.toUnsignedInt(memory.get(BYTE, at + 1)) & ~GSO_ECN;
    }

    /** Where the part begins that the checksum covers, from the frame's first byte. */
    public static int csumStart(MemorySegment memory, long at) {
        return Short.toUnsignedInt(memory.get(SHORT, at + 6));
    }

    /** Where the checksum is, from {@link #csumStart}. */
    public static int csumOffset(MemorySegment memory, long at) {
        return Short.toUnsignedInt(memory.get(SHORT, at + 8));
    }

    public static int gsoSize(MemorySegment memory, long at) {
        return Short.toUnsignedInt(memory.get(SHORT, at + 4));
    }
}
