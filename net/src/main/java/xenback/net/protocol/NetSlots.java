package xenback.net.protocol;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Slots of both rings, field by field (xen io/netif.h), little-endian:
 *
 * <pre>
 *   TX request   gref u32 @0   offset u16 @4   flags u16 @6   id u16 @8   size u16 @10
 *   TX response  id u16 @0     status s16 @2
 *   RX request   id u16 @0     gref u32 @4
 *   RX response  id u16 @0     offset u16 @2   flags u16 @4   status s16 @6 (bytes in this slot, or an error)
 *   extra info   type u8 @0    flags u8 @1     six bytes by type
 * </pre>
 */
public final class NetSlots {
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    private NetSlots() {}

    /** Writes a transmit request. */
    public static void putTxRequest(MemorySegment slot, int gref, int offset, int flags, int id, int size) {
        slot.set(INT, 0, gref);
        slot.set(SHORT, 4, (short) offset);
        slot.set(SHORT, 6, (short) flags);
        slot.set(SHORT, 8, (short) id);
        slot.set(SHORT, 10, (short) size);
    }

    /** A transmit response: the first four bytes of its slot. */
    public static int txResponse(short id, short status) {
        return Short.toUnsignedInt(id) | status << 16;
    }

    public static short txResponseId(MemorySegment slot) {
        return slot.get(SHORT, 0);
    }

    public static short txResponseStatus(MemorySegment slot) {
        return slot.get(SHORT, 2);
    }

    /** Writes a receive request. */
    public static void putRxRequest(MemorySegment slot, int id, int gref) {
        slot.set(SHORT, 0, (short) id);
        slot.set(SHORT, 2, (short) 0);
        slot.set(INT, 4, gref);
    }

    public static short rxRequestId(MemorySegment slot) {
        return slot.get(SHORT, 0);
    }

    public static int rxRequestGref(MemorySegment slot) {
        return slot.get(INT, 4);
    }

    /** Of a receive request, a whole slot as one word. */
    public static short rxRequestId(long slot) {
        return (short) slot;
    }

    /** Of a receive request, a whole slot as one word. */
    public static int rxRequestGref(long slot) {
        return (int) (slot >>> 32);
    }

    /** A receive response, a whole slot as one word. */
    public static long rxResponse(short id, int offset, int flags, int status) {
        return Short.toUnsignedLong(id) | (long) offset << 16 | (long) flags << 32 | (long) status << 48;
    }

    /** The same with another status. */
    public static long rxResponse(long response, int status) {
        return response & 0xFFFF_FFFF_FFFFL | (long) status << 48;
    }

    public static int rxResponseOffset(MemorySegment slot) {
        return Short.toUnsignedInt(slot.get(SHORT, 2));
    }

    public static int rxResponseFlags(MemorySegment slot) {
        return Short.toUnsignedInt(slot.get(SHORT, 4));
    }

    public static short rxResponseStatus(MemorySegment slot) {
        return slot.get(SHORT, 6);
    }

    /** Writes the extra info of a large TCP frame. */
    public static void putGso(MemorySegment slot, int segmentBytes, int type, boolean more) {
        slot.set(BYTE, 0, (byte) Netif.EXTRA_GSO);
        slot.set(BYTE, 1, (byte) (more ? Netif.EXTRA_MORE : 0));
        slot.set(SHORT, 2, (short) segmentBytes);
        slot.set(BYTE, 4, (byte) type);
        slot.set(BYTE, 5, (byte) 0);
        slot.set(SHORT, 6, (short) 0);
    }

    /** Writes the extra info of the room that is left in front of the data. */
    public static void putXdp(MemorySegment slot, int headroom, boolean more) {
        slot.set(BYTE, 0, (byte) Netif.EXTRA_XDP);
        slot.set(BYTE, 1, (byte) (more ? Netif.EXTRA_MORE : 0));
        slot.set(SHORT, 2, (short) headroom);
        slot.set(INT, 4, 0);
    }

    public static int xdpHeadroom(MemorySegment slot) {
        return Short.toUnsignedInt(slot.get(SHORT, 2));
    }

    /** Writes the extra info that changes the groups which the guest listens to; {@code operation} is its type. */
    public static void putGroup(MemorySegment slot, int operation, long group, boolean more) {
        slot.set(BYTE, 0, (byte) operation);
        slot.set(BYTE, 1, (byte) (more ? Netif.EXTRA_MORE : 0));
        for (int i = 0; i < 6; i++) {
            slot.set(BYTE, 2 + i, (byte) (group >>> 40 - 8 * i));
        }
    }

    /** The hash of an extra info. */
    public static int hash(MemorySegment slot) {
        return slot.get(INT, 4);
    }

    /** The number of its type's bit. */
    public static int hashType(MemorySegment slot) {
        return Byte.toUnsignedInt(slot.get(BYTE, 2));
    }

    /** Writes the extra info of a hash; {@code typeBit} is the number of the type's bit, 0 to 3. */
    public static void putHash(MemorySegment slot, int typeBit, int hash) {
        slot.set(BYTE, 0, (byte) Netif.EXTRA_HASH);
        slot.set(BYTE, 1, (byte) 0);
        slot.set(BYTE, 2, (byte) typeBit);
        slot.set(BYTE, 3, (byte) 1); // Toeplitz
        slot.set(INT, 4, hash);
    }

    public static int extraType(MemorySegment slot) {
        return Byte.toUnsignedInt(slot.get(BYTE, 0));
    }

    public static boolean extraMore(MemorySegment slot) {
        return (slot.get(BYTE, 1) & Netif.EXTRA_MORE) != 0;
    }

    public static int gsoSize(MemorySegment slot) {
        return Short.toUnsignedInt(slot.get(SHORT, 2));
    }

    public static int gsoType(MemorySegment slot) {
        return Byte.toUnsignedInt(slot.get(BYTE, 4));
    }
}
