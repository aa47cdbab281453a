package xenback.fuzz;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The bytes of one run, read from front to back as decisions. After the end every answer is 0, and 0 is always the honest
 * choice: a short input is a well-behaved peer, and each byte more is a chance to misbehave.
 */
public final class FuzzInput {
    private final byte[] bytes;
    private int at;

    public FuzzInput(byte[] bytes) {
        this.bytes = bytes;
    }

    /** True while there are bytes; what repeats does so while this holds. */
    public boolean more() {
        return at < bytes.length;
    }

    public int u8() {
        return at < bytes.length ? Byte.toUnsignedInt(bytes[at++]) : 0;
    }

    public int u16() {
        return u8() << 8 | u8();
    }

    public int u32() {
        return u16() << 16 | u16();
    }

    public long u64() {
        return (long) u32() << 32 | Integer.toUnsignedLong(u32());
    }

    /** A number from 0 to {@code bound - 1}, out of as few bytes as it takes. */
    public int below(int bound) {
        if (bound <= 256) {
            return u8() % bound;
        }
        return bound <= 1 << 16 ? u16() % bound : Integer.remainderUnsigned(u32(), bound);
    }

    public boolean flag() {
        return (u8() & 1) != 0;
    }

    /** True once in sixteen: the broken knob. */
    public boolean rarely() {
        return u8() >= 240;
    }

    public int pick(int... choices) {
        return choices[below(choices.length)];
    }

    /** So many bytes, fewer at the end. */
    public byte[] bytes(int count) {
        byte[] taken = Arrays.copyOfRange(bytes, at, at + Math.min(count, bytes.length - at));
        at += taken.length;
        return taken;
    }

    public byte[] rest() {
        return bytes(bytes.length - at);
    }

    /** Octets as chars, up to so many. */
    public String text(int most) {
        return new String(bytes(below(most + 1)), StandardCharsets.ISO_8859_1);
    }
}
