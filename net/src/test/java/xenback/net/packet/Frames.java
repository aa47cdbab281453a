package xenback.net.packet;

import java.lang.foreign.MemorySegment;
import java.util.HexFormat;

/** Frames for tests. */
public final class Frames {
    /** UDP and TCP over IPv4 with every checksum right, from the self-tests of FreeBSD's xnb (48 and 46). */
    public static final String XNB_UDP =
            "00163e23500b001630000000080045000024000400004011e56bc0a80a04c0a80a05" + "51ae08ae0010dde2467265654253440a";

    public static final String XNB_TCP = "00163e23500b00163000000008004500003c000840004006a55ac0a80a04c0a80a05"
            + "9cd908ae00f72b107f37ba6c801804102f6400000101080a000081dfce18207f467265654253440a";

    private Frames() {}

    public static byte[] bytes(String hex) {
        return HexFormat.of().parseHex(hex.replace(" ", ""));
    }

    /** The bytes on the heap; the segment can be written. */
    public static MemorySegment of(String hex) {
        return MemorySegment.ofArray(bytes(hex));
    }

    public static String hex(MemorySegment frame) {
        return HexFormat.of().formatHex(frame.toArray(FrameHeaders.BYTE));
    }

    public static void put16(MemorySegment frame, long at, int value) {
        frame.set(FrameHeaders.SHORT, at, (short) value);
    }

    public static FrameHeaders parse(MemorySegment frame) {
        FrameHeaders headers = new FrameHeaders();
        headers.parse(frame, 0, (int) frame.byteSize());
        return headers;
    }
}
