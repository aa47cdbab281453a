package xenback.net.packet;

import java.lang.foreign.MemorySegment;
import xenback.net.packet.FrameHeaders.L4;

/**
 * Cuts a large TCP frame into frames of at most MSS bytes of payload, as a network card's TSO or Linux' GSO does: headers are
 * repeated with VLAN tags, IP options and extension headers; the IPv4 identification counts up; FIN and PSH are on the last segment
 * only, CWR on the first only (RFC 3168 6.1.2); lengths, the IPv4 header's checksum and TCP's are those of each segment.
 *
 * <p>One object serves one frame after another. Nothing is allocated.
 */
public final class Segmenter {
    private MemorySegment frame = MemorySegment.NULL;
    private long offset;
    private int headerBytes;
    private int payloadBytes;
    private int mss;
    private int doneBytes;
    private int index;

    private int ipVersion;
    private int ipOffset;
    private int ipHeaderBytes;
    private int l4Offset;
    private int checksumOffset;
    private int identification;
    private int sequence;
    private int flags;

    /** The pseudo-header's sum without the length. */
    private int pseudoSum;

    /**
     * Starts with a frame, which must stay as it is until the last segment was taken. Its checksums do not matter.
     *
     * @param headers what {@link FrameHeaders#parse} found in this frame; not looked at afterwards
     * @param mss most bytes of payload in a segment, 1..65535
     * @return how many segments there will be, at least 1; 0 if it cannot be cut: not TCP, a fragment, cut short, or no MSS. With a
     *     tiny MSS they are many (one per byte of payload); their number is the caller's to limit
     */
    public int begin(MemorySegment frame, long offset, int length, FrameHeaders headers, int mss) {
        boolean possible =
                headers.l4() == L4.TCP && headers.checksumOffset() >= 0 && headers.endOffset() <= length && mss > 0;
        if (!possible) {
            end();
            return 0;
        }
        this.frame = frame;
        this.offset = offset;
        this.mss = mss;
        headerBytes = headers.headerBytes();
        payloadBytes = headers.endOffset() - headerBytes;
        doneBytes = 0;
        index = 0;
        ipVersion = headers.ipVersion();
        ipOffset = headers.ipOffset();
        l4Offset = headers.l4Offset();
        ipHeaderBytes = l4Offset - ipOffset;
        checksumOffset = headers.checksumOffset();
        flags = headers.tcpFlags();
        identification = ipVersion == 4 ? FrameHeaders.u16(frame, offset + ipOffset + 4) : 0;
        sequence = frame.get(FrameHeaders.INT, offset + l4Offset + 4);
        pseudoSum = Checksums.pseudoHeader(frame, offset, headers, 0);
        return Math.max(1, Math.ceilDiv(payloadBytes, mss));
    }

    /**
     * Writes the next segment.
     *
     * @param target room for {@link FrameHeaders#headerBytes} and an MSS from {@code targetOffset} on, or the whole frame if that is
     *     shorter; not a part of the frame
     * @return bytes of the segment, or 0 after the last
     */
    public int next(MemorySegment target, long targetOffset) {
        if (doneBytes == payloadBytes && index > 0 || headerBytes == 0) {
            end();
            return 0;
        }
        int bytes = Math.min(mss, payloadBytes - doneBytes);
        MemorySegment.copy(frame, offset, target, targetOffset, headerBytes);
        MemorySegment.copy(frame, offset + headerBytes + doneBytes, target, targetOffset + headerBytes, bytes);
        int packetBytes = headerBytes - ipOffset + bytes;
        long ip = targetOffset + ipOffset;
        if (ipVersion == 4) {
            target.set(FrameHeaders.SHORT, ip + 2, (short) packetBytes);
            target.set(FrameHeaders.SHORT, ip + 4, (short) (identification + index));
            Checksums.completeIpv4Header(target, ip, ipHeaderBytes);
        } else {
            target.set(FrameHeaders.SHORT, ip + 4, (short) (packetBytes - FrameHeaders.IPV6_BYTES));
        }
        boolean last = doneBytes + bytes == payloadBytes;
        int dropped =
                (last ? 0 : FrameHeaders.TCP_FIN | FrameHeaders.TCP_PSH) | (index == 0 ? 0 : FrameHeaders.TCP_CWR);
        long l4 = targetOffset + l4Offset;
        target.set(FrameHeaders.INT, l4 + 4, sequence + doneBytes);
        target.set(FrameHeaders.BYTE, l4 + 13, (byte) (flags & ~dropped));
        target.set(FrameHeaders.SHORT, targetOffset + checksumOffset, (short) 0);
        int l4Bytes = headerBytes - l4Offset + bytes;
        int sum = Checksums.add(Checksums.add(pseudoSum, l4Bytes), Checksums.sum(target, l4, l4Bytes));
        target.set(FrameHeaders.SHORT, targetOffset + checksumOffset, (short) ~sum);
        doneBytes += bytes;
        index++;
        return headerBytes + bytes;
    }

    /** Lets go of the frame's memory. */
    private void end() {
        frame = MemorySegment.NULL;
        headerBytes = 0;
    }
}
