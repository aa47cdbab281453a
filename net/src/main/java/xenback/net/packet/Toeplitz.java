package xenback.net.packet;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import xenback.net.packet.FrameHeaders.L4;

/**
 * The Toeplitz hash of addresses and ports, by which receivers choose a queue, as netif.h defines it
 * (XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ) after Microsoft's RSS: for each bit of the input that is 1, the 32 bits of the key that
 * begin at its position are added without carry.
 */
public final class Toeplitz {
    /** Bits of the mask of types, XEN_NETIF_CTRL_HASH_TYPE_*. */
    public static final int IPV4 = 1;

    public static final int IPV4_TCP = 1 << 1;
    public static final int IPV6 = 1 << 2;
    public static final int IPV6_TCP = 1 << 3;

    /** The longest key, bytes: one that reaches 32 bits beyond the longest input. */
    public static final int MAX_KEY_BYTES = 40;

    private static final int MAX_INPUT_BYTES = 36;
    private static final int PORTS_BYTES = 4;

    /** By position and value of half a byte of the input, what it adds: small enough to stay in the nearest cache. */
    private final int[] table = new int[MAX_INPUT_BYTES * 2 * 16];

    private int type = -1;

    /** Begins with a key of zeroes, which hashes everything to 0. */
    public Toeplitz() {
        // The table is right as it is.
    }

    /**
     * Sets the key. A short one goes on with zeroes.
     *
     * @throws IllegalArgumentException if it is longer than {@link #MAX_KEY_BYTES}
     */
    public void setKey(byte[] key) {
        if (key.length > MAX_KEY_BYTES) {
            throw new IllegalArgumentException("key of " + key.length + " bytes");
        }
        byte[] whole = Arrays.copyOf(key, MAX_KEY_BYTES);
        for (int half = 0; half < MAX_INPUT_BYTES * 2; half++) {
            for (int value = 0; value < 16; value++) {
                int sum = 0;
                for (int bit = 0; bit < 4; bit++) {
                    sum ^= (value & 8 >>> bit) == 0 ? 0 : bits(whole, half * 4 + bit);
                }
                table[half * 16 + value] = sum;
            }
        }
    }

    private static int bits(byte[] key, int from) {
        int bits = 0;
        for (int bit = from; bit < from + 32; bit++) {
            bits = bits << 1 | key[bit >>> 3] >>> (7 - (bit & 7)) & 1;
        }
        return bits;
    }

    /**
     * Hashes a frame by the most specific type that fits it: addresses and ports if it is TCP and not a fragment, otherwise addresses.
     *
     * @param typesMask the types that are wanted
     * @return the hash; 0 if no type fits, see {@link #type}
     */
    public int hash(MemorySegment frame, long offset, FrameHeaders headers, int typesMask) {
        int shift = headers.ipVersion() == 6 ? 2 : 0;
        int wanted = headers.ipVersion() == 0 ? 0 : typesMask >>> shift & 3;
        if (headers.l4() == L4.TCP && (wanted & IPV4_TCP) != 0) {
            type = shift + 1;
        } else if ((wanted & IPV4) != 0) {
            type = shift;
        } else {
            type = -1;
            return 0;
        }
        int addressesBytes = headers.addressBytes() * 2;
        int hash = add(0, 0, frame, offset + headers.sourceOffset(), addressesBytes);
        return (type & 1) == 0 ? hash : add(hash, addressesBytes, frame, offset + headers.l4Offset(), PORTS_BYTES);
    }

    private int add(int before, int position, MemorySegment frame, long at, int bytes) {
        int hash = before;
        int row = position * 32;
        for (int i = 0; i < bytes; i++, row += 32) {
            int value = FrameHeaders.u8(frame, at + i);
            hash ^= table[row + (value >>> 4)] ^ table[row + 16 + (value & 15)];
        }
        return hash;
    }

    /** How the last frame was hashed: number of the type, 0 IPv4, 1 IPv4 and TCP, 2 IPv6, 3 IPv6 and TCP; or -1, not at all. */
    public int type() {
        return type;
    }
}
