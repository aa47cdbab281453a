package xenback.net.backend;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HexFormat;

/** Frames of the {@link UnitSuite}, every checksum right: those of xnb's own tests, and their like. */
final class SuiteFrames {
    /** A request. */
    static final String ARP = "ffffffffffff001517e9306808060001080006040001001517e93068c0a80a04000000000000c0a80a06";

    /** xnb_add_mbuf_cksum_udp. */
    static final String UDP =
            "00163e23500b001630000000080045000024000400004011e56bc0a80a04c0a80a0551ae08ae0010dde2" + "467265654253440a";

    /** xnb_add_mbuf_cksum_tcp; 66 bytes of headers. */
    static final String TCP = "00163e23500b00163000000008004500003c000840004006a55ac0a80a04c0a80a059cd908ae00f72b10"
            + "7f37ba6c801804102f6400000101080a000081dfce18207f467265654253440a";

    /** xnb_add_mbuf_cksum_icmp. */
    static final String ICMP = "00163e23500b001630000000080045000054001c00004001e533c0a80a04c0a80a050800aed77b040000"
            + "accf024f6ac4070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223240000000000"
            + "0000000000000000000000000000";

    /** With the router alert option behind the IPv4 header. */
    static final String UDP_WITH_OPTION =
            "00163e23500b0016300000000800460000280004000040115063c0a80a04c0a80a059404000051ae08ae"
                    + "0010dde2467265654253440a";

    /** The sum is 0, which is sent as 0xffff. */
    static final String UDP_ZERO =
            "00163e23500b001630000000080045000024000400004011e56bc0a80a04c0a80a0551ae08ae0010ffff" + "46726565425321ed";

    /** The same as UDP over IPv6. */
    static final String UDP6 = "00163e23500b00163000000086dd6000000000101140fd00000000000000000000000000000afd000000"
            + "00000000000000000000000b51ae08ae00107926467265654253440a";

    /** The same as TCP over IPv6. */
    static final String TCP6 = "00163e23500b00163000000086dd6000000000280640fd00000000000000000000000000000afd000000"
            + "00000000000000000000000b9cd908ae00f72b107f37ba6c80180410caa700000101080a000081dfce18"
            + "207f467265654253440a";

    /** With hop-by-hop and destination options in front of TCP. */
    static final String TCP6_WITH_EXTENSIONS =
            "00163e23500b00163000000086dd6000000000380040fd00000000000000000000000000000afd000000"
                    + "00000000000000000000000b3c0005020000010006000104000000009cd908ae00f72b107f37ba6c8018"
                    + "0410caa700000101080a000081dfce18207f467265654253440a";

    /** TCP with an 802.1Q tag. */
    static final String VLAN_TCP =
            "00163e23500b0016300000008100006408004500003c000840004006a55ac0a80a04c0a80a059cd908ae"
                    + "00f72b107f37ba6c801804102f6400000101080a000081dfce18207f467265654253440a";

    /** UDP6 with two tags, 802.1ad and 802.1Q. */
    static final String QINQ_UDP6 =
            "00163e23500b00163000000088a800018100006486dd6000000000101140fd0000000000000000000000"
                    + "0000000afd00000000000000000000000000000b51ae08ae00107926467265654253440a";

    /** Of a UDP datagram of 1000 bytes. */
    static final String FIRST_FRAGMENT =
            "00163e23500b001630000000080045000024000420004011c56bc0a80a04c0a80a0551ae08ae03e8baad" + "467265654253440a";

    /** Where the UDP header would be there is payload. */
    static final String LATER_FRAGMENT =
            "00163e23500b001630000000080045000024000400024011e569c0a80a04c0a80a054041424344454647" + "48494a4b4c4d4e4f";

    /** The first one, with a fragment header. */
    static final String FRAGMENT6 =
            "00163e23500b00163000000086dd6000000000182c40fd00000000000000000000000000000afd000000"
                    + "00000000000000000000000b110000010000000951ae08ae03e8baad467265654253440a";

    /** Where the IPv4 header's checksum is in a frame without tags. */
    static final int IP_CHECKSUM = 24;

    private static final int TCP_HEADERS = 66;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private SuiteFrames() {}

    static byte[] bytes(String hex) {
        return HexFormat.of().parseHex(hex);
    }

    static MemorySegment of(String hex) {
        return MemorySegment.ofArray(bytes(hex));
    }

    static String hex(MemorySegment frame) {
        return HexFormat.of().formatHex(frame.toArray(ValueLayout.JAVA_BYTE));
    }

    static void put16(MemorySegment frame, int at, int value) {
        frame.set(SHORT, at, (short) value);
    }

    static int u16(MemorySegment frame, int at) {
        return Short.toUnsignedInt(frame.get(SHORT, at));
    }

    /** A TCP frame of so many bytes, its IPv4 length right and its checksums not. */
    static byte[] tcp(int frameBytes) {
        byte[] frame = Arrays.copyOf(bytes(TCP), frameBytes);
        for (int i = TCP_HEADERS; i < frameBytes; i++) {
            frame[i] = (byte) i;
        }
        put16(MemorySegment.ofArray(frame), 16, frameBytes - 14);
        return frame;
    }
}
