package xenback.net.protocol;

import static xenback.fuzz.FuzzTarget.require;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;

/**
 * Any slots on the transmit ring: a packet is understood exactly if it is one by a second judgement from the raw bytes, takes no
 * slot that is not there, and all its bytes lie on its pages.
 */
public final class NetPacketTarget implements FuzzTarget {
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    private final MemorySegment slots = MemorySegment.ofArray(new long[Netif.SLOTS * Netif.TX_SLOT_BYTES / 8]);

    // One object for all inputs, as for all packets of a queue: what the last one left must not matter.
    private final TxPacket packet = new TxPacket();

    private int next;
    private int end;

    @Override
    public void run(FuzzInput in) {
        slots.fill((byte) in.u8());
        int first = in.pick(0, Netif.SLOTS - 1, -1, Integer.MAX_VALUE);
        next = first;
        do {
            putPacket(in);
        } while (in.more() && next - first < Netif.SLOTS - 32);
        end = next - (in.rarely() ? in.below(3) : 0);
        next = first;
        while (end - next > 0) {
            int available = end - next;
            int used = packet.gather(slots, next, available);
            require(used >= 0 && used <= available, used + " slots of " + available);
            NetRule legal = judge();
            if (legal != NetRule.NONE) {
                require(packet.rule() != NetRule.NONE, "a packet was understood that breaks " + legal);
            } else {
                require(packet.rule() == NetRule.NONE, packet.rule() + " of a packet that is right");
                check(used);
            }
            if (packet.rule().fatal()) {
                return;
            }
            require(used > 0, "a packet without slots that is not fatal: " + packet.rule());
            next += used;
        }
    }

    /** A packet like an honest guest's, each part of it with a rare broken knob. */
    private void putPacket(FuzzInput in) {
        int dataSlots = in.rarely() ? 1 + in.below(30) : 1 + in.below(4);
        int extras = in.below(4) == 0 ? 1 + in.below(2) : 0;
        int[] sizes = new int[dataSlots];
        int total = 0;
        for (int i = 0; i < dataSlots; i++) {
            sizes[i] = in.rarely() ? in.u16() : i == 0 ? 60 + in.below(200) : in.below(1500);
            total += sizes[i];
        }
        putSlot(in, dataSlots > 1, extras > 0, total);
        for (int i = 0; i < extras; i++) {
            MemorySegment slot = slot(next++);
            byte[] value = in.bytes(6);
            slot.set(BYTE, 0, (byte) (in.rarely() ? in.u8() : in.pick(1, 2, 3, 4, 5)));
            slot.set(BYTE, 1, (byte) (in.rarely() ? in.u8() : i + 1 < extras ? Netif.EXTRA_MORE : 0));
            MemorySegment.copy(value, 0, slot, BYTE, 2, value.length);
        }
        for (int i = 1; i < dataSlots; i++) {
            putSlot(in, i + 1 < dataSlots, false, sizes[i]);
        }
    }

    private void putSlot(FuzzInput in, boolean more, boolean extra, int size) {
        int flags = in.rarely()
                ? in.u16()
                : in.below(4) | (more ? Netif.TX_MORE_DATA : 0) | (extra ? Netif.TX_EXTRA_INFO : 0);
        NetSlots.putTxRequest(slot(next++), in.u8(), in.rarely() ? in.u16() : in.u8(), flags, in.u8(), size);
    }

    /** A packet of netif.h, told a second time. */
    private NetRule judge() {
        int at = next;
        int flags = flags(at);
        long total = size(at);
        boolean operation = false;
        int gso = -1;
        int gsoSize = 0;
        at++;
        for (boolean more = (flags & Netif.TX_EXTRA_INFO) != 0; more; at++) {
            if (at == end) {
                return NetRule.MISSING_EXTRA;
            }
            MemorySegment extra = slot(at);
            int type = Byte.toUnsignedInt(extra.get(BYTE, 0));
            if (type < 1 || type > 5) {
                return NetRule.UNKNOWN_EXTRA;
            }
            if (type == 1) {
                gsoSize = Short.toUnsignedInt(extra.get(SHORT, 2));
                gso = Byte.toUnsignedInt(extra.get(BYTE, 4));
            }
            operation |= type == 2 || type == 3;
            more = (extra.get(BYTE, 1) & 1) != 0;
        }
        int dataSlots = 1;
        long rest = 0;
        for (boolean more = (flags & Netif.TX_MORE_DATA) != 0; more; at++) {
            if (at == end) {
                return NetRule.UNFINISHED_PACKET;
            }
            if (offset(at) + size(at) > 4096) {
                return NetRule.SLOT_BEYOND_PAGE;
            }
            rest += size(at);
            dataSlots++;
            more = (flags(at) & Netif.TX_MORE_DATA) != 0;
        }
        if (dataSlots > 19) {
            return NetRule.TOO_MANY_SLOTS;
        }
        if (rest > total) {
            return NetRule.SIZES_EXCEED_PACKET;
        }
        if (operation) {
            return NetRule.NONE; // carries no data
        }
        if (offset(next) + total - rest > 4096) {
            return NetRule.SLOT_BEYOND_PAGE;
        }
        boolean badGso = gso >= 0 && (gso < 1 || gso > 2 || gsoSize == 0);
        return total - rest < 14 ? NetRule.RUNT : badGso ? NetRule.BAD_GSO : NetRule.NONE;
    }

    private void check(int used) {
        require(used == packet.slotCount() + packet.extraCount(), "slots of different kinds");
        int sum = 0;
        for (int i = 0; i < packet.slotCount() && !packet.isGroupOperation(); i++) {
            require(packet.size(i) >= 0 && packet.offset(i) + packet.size(i) <= 4096, "bytes beyond a page");
            sum += packet.size(i);
        }
        require(sum == packet.size() || packet.isGroupOperation(), "bytes that are not the packet's");
        require((packet.flags() & Netif.TX_MORE_DATA) == 0, "a flag of a slot");
        require(packet.gsoType() == 0 || packet.gsoSize() > 0 || packet.isGroupOperation(), "segments of no size");
        require(packet.group() >>> 48 == 0, "a group of more than six octets");
    }

    private int flags(int number) {
        return Short.toUnsignedInt(slot(number).get(SHORT, 6));
    }

    private int offset(int number) {
        return Short.toUnsignedInt(slot(number).get(SHORT, 4));
    }

    private int size(int number) {
        return Short.toUnsignedInt(slot(number).get(SHORT, 10));
    }

    private MemorySegment slot(int number) {
        return slots.asSlice((long) (number & Netif.SLOTS - 1) * Netif.TX_SLOT_BYTES, Netif.TX_SLOT_BYTES);
    }
}
