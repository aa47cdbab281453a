package xenback.net.protocol;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;

/**
 * One packet as its slots on the transmit ring describe it (netif.h, "struct netif_tx_request"). The first slot tells the size
 * of the whole packet, each other one its own; between the first and the others stand extra infos. Reused; works on a private
 * copy of the slots, so that nothing is read twice (XSA-155).
 */
public final class TxPacket {
    /** Data slots that every backend takes (XEN_NETIF_NR_SLOTS_MIN beyond the first). */
    public static final int MOST_SLOTS = 19;

    /** Data slots that are an error; more are an attack (Linux' fatal_skb_slots, 20 beyond the first). */
    static final int FATAL_SLOTS = 21;

    private static final int PAGE_BYTES = 4096;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    // A slot in two reads: what is exact and constant costs little even before the optimising compiler has come to it.
    private static final VarHandle GREF_OFFSET_FLAGS =
            ValueLayout.JAVA_LONG_UNALIGNED.varHandle().withInvokeExactBehavior();
    private static final VarHandle ID_SIZE = INT.varHandle().withInvokeExactBehavior();
    private static final long ID_SIZE_AT = 8;

    private final int[] grefs = new int[FATAL_SLOTS];
    private final int[] offsets = new int[FATAL_SLOTS];
    private final int[] sizes = new int[FATAL_SLOTS];
    private final short[] ids = new short[FATAL_SLOTS];
    private int slotCount;
    private int extraCount;
    private int flags;
    private int size;
    private int gsoSize;
    private int gsoType;
    private int groupOperation;
    private long group;
    private int hashType;
    private int hash;
    private NetRule rule = NetRule.NONE;

    /**
     * Reads the packet that begins at a slot.
     *
     * @param slots copies of a ring's slots, as many as a power of two
     * @param first number of the packet's first slot, masked on access
     * @param available slots from there on that hold requests
     * @return how many slots it takes; 0 if there is none or it is not whole. {@link #rule} says whether it is right.
     */
    public int gather(MemorySegment slots, int first, int available) {
        int mask = (int) (slots.byteSize() / Netif.TX_SLOT_BYTES) - 1;
        clear();
        if (available <= 0) {
            return 0;
        }
        flags = takeSlot(slots, at(first, mask));
        size = sizes[0];
        int used = 1;
        if ((flags & Netif.TX_EXTRA_INFO) != 0) {
            used = gatherExtras(slots, first, available, mask);
            if (rule.fatal()) {
                return used;
            }
        }
        int rest = 0;
        int slotFlags = flags;
        while ((slotFlags & Netif.TX_MORE_DATA) != 0) {
            if (used == available) {
                rule = NetRule.UNFINISHED_PACKET;
                return 0;
            }
            if (slotCount == FATAL_SLOTS) {
                rule = NetRule.FAR_TOO_MANY_SLOTS;
                return used;
            }
            slotFlags = takeSlot(slots, at(first + used, mask));
            used++;
            rest += sizes[slotCount - 1];
            if (offsets[slotCount - 1] + sizes[slotCount - 1] > PAGE_BYTES) {
                rule = NetRule.SLOT_BEYOND_PAGE;
                return used;
            }
        }
        judge(rest);
        return used;
    }

    private void judge(int rest) {
        if (rest > size) {
            rule = NetRule.SIZES_EXCEED_PACKET; // a frame of 64 KiB or more wrapped around, in old frontends
            return;
        }
        sizes[0] = size - rest;
        if (slotCount > MOST_SLOTS) {
            rule = NetRule.TOO_MANY_SLOTS;
        } else if (isGroupOperation()) {
            rule = NetRule.NONE; // carries no data
        } else if (sizes[0] < Netif.LEAST_FRAME_BYTES) {
            rule = NetRule.RUNT;
        } else if (offsets[0] + sizes[0] > PAGE_BYTES) {
            rule = NetRule.SLOT_BEYOND_PAGE;
        } else if (gsoType != 0 && (gsoSize == 0 || gsoType > Netif.GSO_TCPV6)) {
            rule = NetRule.BAD_GSO;
        }
    }

    private int gatherExtras(MemorySegment slots, int first, int available, int mask) {
        int used = 1;
        boolean more = true;
        while (more) {
            if (used == available) {
                rule = NetRule.MISSING_EXTRA;
                return used;
            }
            long at = at(first + used, mask);
            used++;
            extraCount++;
            int type = Byte.toUnsignedInt(slots.get(BYTE, at));
            more = (slots.get(BYTE, at + 1) & Netif.EXTRA_MORE) != 0;
            if (type == 0 || type >= Netif.EXTRA_TYPES) {
                rule = NetRule.UNKNOWN_EXTRA;
                return used;
            }
            takeExtra(slots, at, type);
        }
        return used;
    }

    /** A second one of its type takes the place of the first, as with Linux. */
    private void takeExtra(MemorySegment slots, long at, int type) {
        switch (type) {
            case Netif.EXTRA_GSO -> {
                gsoSize = Short.toUnsignedInt(slots.get(SHORT, at + 2));
                gsoType = Byte.toUnsignedInt(slots.get(BYTE, at + 4));
                if (gsoType == 0 || gsoSize == 0) {
                    gsoType = Netif.GSO_TCPV6 + 1; // judged when the packet is whole
                }
            }
            case Netif.EXTRA_MCAST_ADD, Netif.EXTRA_MCAST_DEL -> {
                groupOperation = type;
                group = 0;
                for (int i = 0; i < 6; i++) {
                    group = group << 8 | Byte.toUnsignedLong(slots.get(BYTE, at + 2 + i));
                }
            }
            case Netif.EXTRA_HASH -> {
                hashType = 1 << (slots.get(BYTE, at + 2) & 3);
                hash = slots.get(INT, at + 4);
            }
            default -> {} // XDP: nothing for a backend to do
        }
    }

    /** Returns the slot's flags. */
    private int takeSlot(MemorySegment slots, long at) {
        long grefOffsetFlags = (long) GREF_OFFSET_FLAGS.get(slots, at);
        int idSize = (int) ID_SIZE.get(slots, at + ID_SIZE_AT);
        grefs[slotCount] = (int) grefOffsetFlags;
        offsets[slotCount] = (int) (grefOffsetFlags >>> 32) & 0xFFFF;
        ids[slotCount] = (short) idSize;
        sizes[slotCount] = idSize >>> 16;
        slotCount++;
        return (int) (grefOffsetFlags >>> 48);
    }

    private void clear() {
        slotCount = 0;
        extraCount = 0;
        flags = 0;
        size = 0;
        gsoSize = 0;
        gsoType = 0;
        groupOperation = 0;
        hashType = 0;
        rule = NetRule.NONE;
    }

    private static long at(int slot, int mask) {
        return (long) (slot & mask) * Netif.TX_SLOT_BYTES;
    }

    /** What is wrong with it. */
    public NetRule rule() {
        return rule;
    }

    /** Data slots; extra infos come besides, after the first. */
    public int slotCount() {
        return slotCount;
    }

    public int extraCount() {
        return extraCount;
    }

    /** Bytes of the whole packet. */
    public int size() {
        return size;
    }

    /** The first slot's flags, but for that there is more data. */
    public int flags() {
        return flags & ~Netif.TX_MORE_DATA;
    }

    /** What the slot's response has to name. */
    public short id(int slot) {
        return ids[slot];
    }

    public int gref(int slot) {
        return grefs[slot];
    }

    /** Bytes into the slot's page. */
    public int offset(int slot) {
        return offsets[slot];
    }

    /** Bytes of the slot; of the first, what the others leave over. */
    public int size(int slot) {
        return sizes[slot];
    }

    /** Payload bytes of a segment; of meaning if {@link #gsoType} is not 0. */
    public int gsoSize() {
        return gsoSize;
    }

    public int gsoType() {
        return gsoType;
    }

    /** True if it carries no data and changes which groups the guest listens to. */
    public boolean isGroupOperation() {
        return groupOperation != 0;
    }

    /** {@link Netif#EXTRA_MCAST_ADD} or {@link Netif#EXTRA_MCAST_DEL}. */
    public int groupOperation() {
        return groupOperation;
    }

    /** The address of the operation, first octet in bits 47 to 40. */
    public long group() {
        return group;
    }

    /** The guest's hash of the packet, of type {@link #hashType} (a bit of a mask), which is 0 if it told none. */
    public int hash() {
        return hash;
    }

    public int hashType() {
        return hashType;
    }
}
