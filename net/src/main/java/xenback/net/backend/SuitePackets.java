package xenback.net.backend;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Consumer;
import xenback.net.backend.UnitSuite.Case;
import xenback.net.protocol.NetRule;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.net.protocol.TxPacket;
import xenback.xen.bus.GuestNodes;

/** From slots to packets, and from texts to numbers: xnb's ring2pkt and sscanf. */
final class SuitePackets {
    private static final int MORE = Netif.TX_MORE_DATA;
    private static final int EXTRA = Netif.TX_EXTRA_INFO;

    private SuitePackets() {}

    static List<Case> cases() {
        return List.of(
                new Case("xnb_ring2pkt_emptyring", trial -> {
                    trial.same("slots", 0, new TxPacket().gather(new Slots().memory, 0, 0));
                }),
                new Case("xnb_ring2pkt_1req", SuitePackets::oneRequest),
                new Case("xnb_ring2pkt_2req", SuitePackets::twoRequests),
                new Case("xnb_ring2pkt_3req", SuitePackets::threeRequests),
                new Case("xnb_ring2pkt_extra", SuitePackets::extraInfo),
                new Case("xnb_ring2pkt_partial", trial -> {
                    TxPacket packet = new TxPacket();
                    trial.same("slots", 0, gather(packet, 0, slots -> slots.put(7, 0, MORE, 1, 150)));
                    trial.that("an unfinished packet is valid", packet.rule() == NetRule.UNFINISHED_PACKET);
                }),
                new Case("xnb_ring2pkt_wraps", SuitePackets::wraps),
                new Case("ring2pkt_2extras", SuitePackets::twoExtras),
                new Case("ring2pkt_19slots", trial -> {
                    trial.same("rule of 19", NetRule.NONE, ruleOf(19));
                    trial.same("rule of 20", NetRule.TOO_MANY_SLOTS, ruleOf(20));
                    trial.same("rule of 22", NetRule.FAR_TOO_MANY_SLOTS, ruleOf(22));
                }),
                new Case("ring2pkt_zeromiddle", SuitePackets::emptyMiddle),
                new Case("ring2pkt_badsizes", SuitePackets::badSizes),
                new Case("xnb_sscanf_hhd", trial -> trial.same("-27", -1, GuestNodes.number("-27"))),
                new Case("xnb_sscanf_hhu", trial -> {
                    trial.same("137", 137, GuestNodes.number("137"));
                    trial.same("137 with a tail", -1, GuestNodes.number("137 "));
                    trial.same("nothing", -1, GuestNodes.number(""));
                }),
                new Case(
                        "xnb_sscanf_lld",
                        trial -> trial.same("-123456789012345", -1, GuestNodes.number("-123456789012345"))),
                new Case("xnb_sscanf_llu", trial -> {
                    trial.same("12802747070103273189", -1, GuestNodes.number("12802747070103273189"));
                    trial.same("ten digits", 9_999_999_999L, GuestNodes.number("9999999999"));
                }),
                new Case("xnb_sscanf_hhn", trial -> trial.same("192 letters", -1, GuestNodes.number("x".repeat(192)))));
    }

    private static void oneRequest(Trial trial) {
        TxPacket packet = new TxPacket();
        trial.same("slots", 1, gather(packet, 0, slots -> slots.put(7, 0, 0, 1, 69)));
        isValid(trial, packet, 69, 0);
        trial.same("data slots", 1, packet.slotCount());
        trial.same("bytes of the first", 69, packet.size(0));
    }

    private static void twoRequests(Trial trial) {
        TxPacket packet = new TxPacket();
        int used = gather(packet, 0, slots -> {
            slots.put(7, 0, MORE, 1, 100);
            slots.put(8, 0, 0, 2, 40);
        });
        trial.same("slots", 2, used);
        isValid(trial, packet, 100, 0);
        trial.same("data slots", 2, packet.slotCount());
        trial.same("bytes of the first", 60, packet.size(0));
        trial.same("page of the second", 8, packet.gref(1));
    }

    private static void threeRequests(Trial trial) {
        TxPacket packet = new TxPacket();
        int used = gather(packet, 0, slots -> {
            slots.put(7, 0, MORE, 1, 200);
            slots.put(8, 0, MORE, 2, 40);
            slots.put(9, 0, 0, 3, 50);
        });
        trial.same("slots", 3, used);
        isValid(trial, packet, 200, 0);
        trial.same("data slots", 3, packet.slotCount());
        trial.same("bytes of the first", 110, packet.size(0));
        trial.same("page of the third", 9, packet.gref(2));
    }

    private static void extraInfo(Trial trial) {
        TxPacket packet = new TxPacket();
        int used = gather(packet, 0, slots -> {
            slots.put(7, 0, EXTRA | MORE, 1, 150);
            NetSlots.putGso(slots.next(), 250, Netif.GSO_TCPV4, false);
            slots.put(8, 0, 0, 2, 50);
        });
        trial.same("slots", 3, used);
        isValid(trial, packet, 150, EXTRA);
        trial.same("data slots", 2, packet.slotCount());
        trial.same("extra infos", 1, packet.extraCount());
        trial.same("segment size", 250, packet.gsoSize());
        trial.same("type of segmentation", Netif.GSO_TCPV4, packet.gsoType());
        trial.same("bytes of the first", 100, packet.size(0));
        trial.same("page of the second data slot", 8, packet.gref(1));
    }

    private static void wraps(Trial trial) {
        TxPacket packet = new TxPacket();
        int used = gather(packet, Netif.SLOTS - 2, slots -> {
            slots.put(7, 0, MORE, 1, 550);
            slots.put(8, 0, MORE, 2, 100);
            slots.put(9, 0, 0, 3, 50);
        });
        trial.same("slots", 3, used);
        isValid(trial, packet, 550, 0);
        trial.same("data slots", 3, packet.slotCount());
        trial.same("page of the third", 9, packet.gref(2));
    }

    /** Windows' frontend sends the hash along with the segment size. */
    private static void twoExtras(Trial trial) {
        TxPacket packet = new TxPacket();
        int used = gather(packet, 0, slots -> {
            slots.put(7, 0, EXTRA, 1, 150);
            NetSlots.putGso(slots.next(), 250, Netif.GSO_TCPV6, true);
            NetSlots.putHash(slots.next(), 3, 0x12345678);
        });
        trial.same("slots", 3, used);
        isValid(trial, packet, 150, EXTRA);
        trial.same("extra infos", 2, packet.extraCount());
        trial.same("segment size", 250, packet.gsoSize());
        trial.same("hash", 0x12345678, packet.hash());
        trial.same("type of the hash", 8, packet.hashType());
    }

    private static void emptyMiddle(Trial trial) {
        TxPacket packet = new TxPacket();
        int used = gather(packet, 0, slots -> {
            slots.put(7, 0, MORE, 1, 200);
            slots.put(8, 0, MORE, 2, 0);
            slots.put(9, 0, 0, 3, 50);
        });
        trial.same("slots", 3, used);
        isValid(trial, packet, 200, 0);
        trial.same("bytes of the second", 0, packet.size(1));
    }

    private static void badSizes(Trial trial) {
        trial.same("sizes beyond the packet's", NetRule.SIZES_EXCEED_PACKET, rule(slots -> {
            slots.put(7, 0, MORE, 1, 100);
            slots.put(8, 0, 0, 2, 101);
        }));
        trial.same(
                "a first slot beyond its page", NetRule.SLOT_BEYOND_PAGE, rule(slots -> slots.put(7, 17, 0, 1, 4080)));
        trial.same("a later slot beyond its page", NetRule.SLOT_BEYOND_PAGE, rule(slots -> {
            slots.put(7, 0, MORE, 1, 1000);
            slots.put(8, 4000, 0, 2, 97);
        }));
        trial.same("13 bytes", NetRule.RUNT, rule(slots -> slots.put(7, 0, 0, 1, 13)));
        trial.same("no segment size", NetRule.BAD_GSO, rule(slots -> {
            slots.put(7, 0, EXTRA, 1, 100);
            NetSlots.putGso(slots.next(), 0, Netif.GSO_TCPV4, false);
        }));
        trial.same(
                "no extra info where one is told",
                NetRule.MISSING_EXTRA,
                rule(slots -> slots.put(7, 0, EXTRA, 1, 100)));
        trial.same("an extra info of type 0", NetRule.UNKNOWN_EXTRA, rule(slots -> {
            slots.put(7, 0, EXTRA, 1, 100);
            slots.next();
        }));
    }

    private static void isValid(Trial trial, TxPacket packet, int size, int flags) {
        trial.same("rule", NetRule.NONE, packet.rule());
        trial.same("size", size, packet.size());
        trial.same("flags", flags, packet.flags());
    }

    private static NetRule ruleOf(int dataSlots) {
        return rule(slots -> {
            slots.put(1, 0, MORE, 1, 100 * dataSlots);
            for (int i = 2; i < dataSlots; i++) {
                slots.put(i, 0, MORE, i, 100);
            }
            slots.put(dataSlots, 0, 0, dataSlots, 100);
        });
    }

    private static NetRule rule(Consumer<Slots> writer) {
        TxPacket packet = new TxPacket();
        gather(packet, 0, writer);
        return packet.rule();
    }

    /** Reads the packet that the slots describe which are written from {@code first} on. */
    private static int gather(TxPacket packet, int first, Consumer<Slots> writer) {
        Slots slots = new Slots();
        slots.number = first;
        writer.accept(slots);
        return packet.gather(slots.memory, first, slots.number - first);
    }

    /** Slots as they are copied off a ring. */
    private static final class Slots {
        private final MemorySegment memory =
                MemorySegment.ofArray(new long[Netif.SLOTS * Netif.TX_SLOT_BYTES / Long.BYTES]);
        private int number;

        MemorySegment next() {
            long at = (long) (number++ & Netif.SLOTS - 1) * Netif.TX_SLOT_BYTES;
            return memory.asSlice(at, Netif.TX_SLOT_BYTES);
        }

        void put(int gref, int offset, int flags, int id, int size) {
            NetSlots.putTxRequest(next(), gref, offset, flags, id, size);
        }
    }
}
