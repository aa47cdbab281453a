package xenback.net.packet;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import xenback.net.packet.FrameHeaders.L4;

/**
 * The Internet checksum (RFC 1071) and SCTP's (RFC 9260, appendix A), read and written in frames whose headers were parsed. Sums are
 * ones' complement sums of 16-bit words in network byte order, folded to 0..0xffff and not inverted.
 */
public final class Checksums {
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final long LOW_HALF = 0xFFFF_FFFFL;
    private static final int ALL_ONES = 0xFFFF;

    private Checksums() {}

    /** The sum of {@code length} bytes; an odd one at the end is the upper half of a word. */
    public static int sum(MemorySegment memory, long offset, int length) {
        // The order of bytes does not matter to a ones' complement sum but for its own (RFC 1071 2): so the words are
        // summed as
        // the processor reads them, four at a time, and the halves of the sum are swapped at last. A sum of up to 2^31
        // bytes
        // in 32-bit words cannot overflow 64 bits.
        long a = 0;
        long b = 0;
        int at = 0;
        for (; at <= length - 32; at += 32) {
            long first = memory.get(LONG, offset + at);
            long second = memory.get(LONG, offset + at + 8);
            long third = memory.get(LONG, offset + at + 16);
            long fourth = memory.get(LONG, offset + at + 24);
            a += (first & LOW_HALF) + (first >>> 32) + (second & LOW_HALF) + (second >>> 32);
            b += (third & LOW_HALF) + (third >>> 32) + (fourth & LOW_HALF) + (fourth >>> 32);
        }
        for (; at <= length - 8; at += 8) {
            long word = memory.get(LONG, offset + at);
            a += (word & LOW_HALF) + (word >>> 32);
        }
        long tail = 0;
        for (int shift = 0; at < length; at++, shift += 8) {
            tail |= (long) FrameHeaders.u8(memory, offset + at) << shift;
        }
        long sum = a + b + (tail & LOW_HALF) + (tail >>> 32);
        return Short.toUnsignedInt(Short.reverseBytes((short) fold(sum)));
    }

    /** Adds two sums. */
    static int add(int one, int other) {
        return fold(one + other);
    }

    private static int fold(long sum) {
        long folded = (sum & LOW_HALF) + (sum >>> 32);
        folded = (folded & ALL_ONES) + (folded >>> 16);
        folded = (folded & ALL_ONES) + (folded >>> 16);
        return (int) ((folded & ALL_ONES) + (folded >>> 16));
    }

    /**
     * The sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) with the final destination, for a frame whose
     * {@link FrameHeaders#checksumOffset} is present.
     */
    public static int pseudoHeader(MemorySegment frame, long offset, FrameHeaders headers) {
        return pseudoHeader(frame, offset, headers, headers.checksumBytes());
    }

    static int pseudoHeader(MemorySegment frame, long offset, FrameHeaders headers, int l4Bytes) {
        int addresses = sum(frame, offset + headers.sourceOffset(), headers.addressBytes())
                + sum(frame, offset + headers.destinationOffset(), headers.addressBytes());
        return fold((long) addresses + headers.protocol() + (l4Bytes >>> 16) + (l4Bytes & ALL_ONES));
    }

    /**
     * Computes the transport checksum from scratch, whatever the field holds, and stores it: TCP, UDP (0 becomes 0xffff), SCTP and
     * ICMPv6. False, and nothing is changed, if there is none to compute: a fragment, a truncated or malformed packet, another
     * protocol; or ICMP, which has no pseudo-header and so is never left to others.
     */
    public static boolean complete(MemorySegment frame, long offset, FrameHeaders headers) {
        if (headers.checksumOffset() < 0 || headers.l4() == L4.ICMP) {
            return false;
        }
        long field = offset + headers.checksumOffset();
        if (headers.l4() == L4.SCTP) {
            frame.set(Crc32c.STORED, field, sctp(frame, offset, headers));
            return true;
        }
        frame.set(FrameHeaders.SHORT, field, (short) 0);
        int sum = add(
                pseudoHeader(frame, offset, headers), sum(frame, offset + headers.l4Offset(), headers.checksumBytes()));
        boolean udpZero = sum == ALL_ONES && headers.l4() == L4.UDP; // 0 would mean that there is none, RFC 768
        frame.set(FrameHeaders.SHORT, field, (short) (udpZero ? ALL_ONES : ~sum));
        return true;
    }

    /**
     * Stores the pseudo-header's sum, which is what a partial checksum must hold (csum_blank of netif.h,
     * VIRTIO_NET_HDR_F_NEEDS_CSUM of virtio 1.2 5.1.6.2). It is recomputed and never trusted. False, and nothing is changed,
     * if it is neither TCP nor UDP, if {@link #complete} would say false, or if bytes other than 0 follow the segment: whoever
     * finishes the checksum sums up to the frame's end.
     */
    public static boolean preparePartial(MemorySegment frame, long offset, FrameHeaders headers) {
        if (headers.checksumOffset() < 0 || headers.l4() != L4.TCP && headers.l4() != L4.UDP) {
            return false;
        }
        int end = headers.l4Offset() + headers.checksumBytes();
        if (sum(frame, offset + end, headers.frameBytes() - end) != 0) {
            return false;
        }
        int sum = pseudoHeader(frame, offset, headers);
        frame.set(FrameHeaders.SHORT, offset + headers.checksumOffset(), (short) sum);
        return true;
    }

    /** Computes and stores the IPv4 header's checksum; leaves another frame as it is. */
    public static void completeIpv4Header(MemorySegment frame, long offset, FrameHeaders headers) {
        if (headers.ipVersion() == 4) {
            completeIpv4Header(frame, offset + headers.ipOffset(), headers.l4Offset() - headers.ipOffset());
        }
    }

    static void completeIpv4Header(MemorySegment memory, long at, int headerBytes) {
        memory.set(FrameHeaders.SHORT, at + 10, (short) 0);
        memory.set(FrameHeaders.SHORT, at + 10, (short) ~sum(memory, at, headerBytes));
    }

    /** False if there is an IPv4 header with a wrong checksum. */
    public static boolean isIpv4HeaderRight(MemorySegment frame, long offset, FrameHeaders headers) {
        return headers.ipVersion() != 4
                || sum(frame, offset + headers.ipOffset(), headers.l4Offset() - headers.ipOffset()) == ALL_ONES;
    }

    /**
     * False if the transport checksum can be computed and is wrong; ICMP's too. UDP in IPv4 may go without (0), in IPv6 not (RFC
     * 8200 8.1).
     */
    public static boolean isRight(MemorySegment frame, long offset, FrameHeaders headers) {
        if (headers.checksumOffset() < 0) {
            return true;
        }
        long field = offset + headers.checksumOffset();
        long l4 = offset + headers.l4Offset();
        return switch (headers.l4()) {
            case SCTP -> frame.get(Crc32c.STORED, field) == sctp(frame, offset, headers);
            case ICMP -> sum(frame, l4, headers.checksumBytes()) == ALL_ONES;
            case UDP ->
                FrameHeaders.u16(frame, field) == 0
                        ? headers.ipVersion() == 4
                        : isTransportRight(frame, offset, headers);
            default -> isTransportRight(frame, offset, headers);
        };
    }

    private static boolean isTransportRight(MemorySegment frame, long offset, FrameHeaders headers) {
        int sum = sum(frame, offset + headers.l4Offset(), headers.checksumBytes());
        return add(pseudoHeader(frame, offset, headers), sum) == ALL_ONES;
    }

    private static int sctp(MemorySegment frame, long offset, FrameHeaders headers) {
        long l4 = offset + headers.l4Offset();
        int crc = Crc32c.update(Crc32c.INITIAL, frame, l4, 8);
        crc = Crc32c.updateZeroes(crc, 4); // in place of the field
        return ~Crc32c.update(crc, frame, l4 + 12, headers.checksumBytes() - 12);
    }
}
