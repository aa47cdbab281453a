package xenback.net;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Random;

/**
 * TCP and UDP frames for tests, and a checksum of its own that is as plain as RFC 1071: written without the code under test, so
 * that it can judge it. Checksum fields hold nonsense.
 */
final class PlainFrames {
    static final int TCP = 6;
    static final int UDP = 17;
    static final int VNET_BYTES = 10;
    static final int NEEDS_CSUM = 1;
    static final int DATA_VALID = 2;

    private PlainFrames() {}

    /** A frame to {@link NetMachine#MAC} with so many VLAN tags and bytes of random payload. */
    static byte[] frame(int version, int protocol, int tags, int payload) {
        int l4 = (protocol == TCP ? 20 : 8) + payload;
        int ip = 14 + 4 * tags;
        int header = version == 4 ? 20 : 40;
        ByteBuffer frame = ByteBuffer.allocate(ip + header + l4);
        new Random(payload).nextBytes(frame.array());
        frame.put(new byte[] {0, 0x16, 0x3E, 0, 0, 1, 0, 0x16, 0x3E, 0, 0, 2});
        for (int i = 0; i < tags; i++) {
            frame.putShort((short) 0x8100).putShort((short) (5 + i));
        }
        frame.putShort((short) (version == 4 ? 0x0800 : 0x86DD));
        if (version == 4) {
            frame.putShort((short) 0x4500)
                    .putShort((short) (20 + l4))
                    .putShort((short) 7)
                    .putShort((short) 0);
            frame.put((byte) 64).put((byte) protocol).putShort((short) 0);
            frame.put(new byte[] {10, 0, 0, 2, 10, 0, 0, 1});
            frame.putShort(ip + 10, (short) ~sum(frame.array(), ip, 20));
        } else {
            frame.putInt(0x6000_0000).putShort((short) l4).put((byte) protocol).put((byte) 64);
        }
        int at = ip + header;
        if (protocol == TCP) {
            frame.put(at + 12, (byte) 0x50).put(at + 13, (byte) 0x18).putShort(at + 18, (short) 0);
        } else {
            frame.putShort(at + 4, (short) l4);
        }
        frame.putShort(field(frame.array()), (short) 0xBEEF);
        return frame.array();
    }

    private static int ipAt(byte[] frame) {
        int at = 12;
        while (u16(frame, at) == 0x8100) {
            at += 4;
        }
        return at + 2;
    }

    /** Where the transport header is. */
    static int l4(byte[] frame) {
        int ip = ipAt(frame);
        return ip + (frame[ip] >>> 4 == 4 ? 20 : 40);
    }

    private static int protocol(byte[] frame) {
        int ip = ipAt(frame);
        return frame[ip] >>> 4 == 4 ? frame[ip + 9] : frame[ip + 6];
    }

    /** Where the checksum is. */
    static int field(byte[] frame) {
        return l4(frame) + (protocol(frame) == TCP ? 16 : 6);
    }

    /** True if the transport's checksum is what it should be. */
    static boolean isRight(byte[] frame) {
        return fold(pseudoSum(frame) + sum(frame, l4(frame), frame.length - l4(frame))) == 0xFFFF;
    }

    /** The sum of the pseudo-header. */
    static int pseudoSum(byte[] frame) {
        int ip = ipAt(frame);
        int l4 = l4(frame);
        int addresses = frame[ip] >>> 4 == 4 ? sum(frame, ip + 12, 8) : sum(frame, ip + 8, 32);
        return fold(addresses + protocol(frame) + frame.length - l4);
    }

    static int sum(byte[] bytes, int from, int length) {
        int sum = 0;
        for (int i = 0; i < length; i++) {
            sum += (bytes[from + i] & 0xFF) << ((i & 1) == 0 ? 8 : 0);
            sum = fold(sum);
        }
        return sum;
    }

    private static int fold(int sum) {
        int folded = sum;
        while (folded >>> 16 != 0) {
            folded = (folded & 0xFFFF) + (folded >>> 16);
        }
        return folded;
    }

    static int u16(byte[] bytes, int at) {
        return (bytes[at] & 0xFF) << 8 | bytes[at + 1] & 0xFF;
    }

    /** Behind a header that says that nothing is left to do. */
    static byte[] finished(byte[] frame, int flags) {
        return vnet(frame, flags, 0, 0);
    }

    /** Behind a header that leaves the checksum to others, with the pseudo-header's sum in its field; and with segments. */
    static byte[] partial(byte[] frame, int gsoType, int mss) {
        int sum = pseudoSum(frame);
        frame[field(frame)] = (byte) (sum >>> 8);
        frame[field(frame) + 1] = (byte) sum;
        return vnet(frame, NEEDS_CSUM, gsoType, mss);
    }

    private static byte[] vnet(byte[] frame, int flags, int gsoType, int mss) {
        ByteBuffer bytes = ByteBuffer.allocate(VNET_BYTES + frame.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.put((byte) flags).put((byte) gsoType);
        bytes.putShort((short) (gsoType == 0 ? 0 : l4(frame) + 20)).putShort((short) mss);
        boolean partial = (flags & NEEDS_CSUM) != 0;
        bytes.putShort((short) (partial ? l4(frame) : 0));
        bytes.putShort((short) (partial ? field(frame) - l4(frame) : 0));
        return bytes.put(frame).array();
    }

    /** The frame without the header in front of it. */
    static byte[] behind(byte[] vnetAndFrame) {
        return java.util.Arrays.copyOfRange(vnetAndFrame, VNET_BYTES, vnetAndFrame.length);
    }
}
