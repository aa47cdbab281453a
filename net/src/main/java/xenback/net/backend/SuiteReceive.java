package xenback.net.backend;

import java.lang.foreign.MemorySegment;
import java.util.List;
import xenback.net.backend.UnitSuite.Case;
import xenback.net.link.VnetHeader;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.grant.GrantCopyBatch;

/** From the link to the guest: xnb's mbufc2pkt, rxpkt2gnttab and rxpkt2rsp, and what it lacked. */
final class SuiteReceive {
    private static final int MORE = Netif.RX_MORE_DATA;
    private static final int EXTRA = Netif.RX_EXTRA_INFO;

    /** 14 * 2048 / 3: three pages, the third not full. */
    private static final int LONG = 9557;

    private SuiteReceive() {}

    static List<Case> cases() {
        return List.of(
                new Case("xnb_mbufc2pkt_empty", SuiteReceive::takesNothing),
                new Case("xnb_mbufc2pkt_short", trial -> fitsOneSlot(trial, 9, 128)),
                new Case("xnb_mbufc2pkt_1cluster", trial -> fitsOneSlot(trial, 12, 2048)),
                // Two short buffers are one frame here: what counts is bytes.
                new Case("xnb_mbufc2pkt_2short", trial -> fitsOneSlot(trial, 14, 380)),
                new Case("xnb_mbufc2pkt_long", trial -> {
                    SuiteRig rig = receive(trial, 3, 15, new byte[LONG], 0, 0);
                    trial.same("slots", 3, rig.rxAnswered() - 3);
                    isResponse(trial, rig, 3, MORE, 4096);
                    isResponse(trial, rig, 4, MORE, 4096);
                    isResponse(trial, rig, 5, 0, LONG - 2 * 4096);
                }),
                new Case("xnb_mbufc2pkt_extra", trial -> {
                    SuiteRig rig =
                            receive(trial, 3, 15, SuiteFrames.tcp(LONG), VnetHeader.NEEDS_CSUM, VnetHeader.GSO_TCPV4);
                    trial.same("slots", 4, rig.rxAnswered() - 3);
                    isResponse(trial, rig, 3, MORE | EXTRA | Netif.RX_CSUM_BLANK | Netif.RX_DATA_VALIDATED, 4096);
                    isGso(trial, rig, 4);
                    isResponse(trial, rig, 5, MORE, 4096);
                    isResponse(trial, rig, 6, 0, LONG - 2 * 4096);
                }),
                new Case("xnb_mbufc2pkt_nospace", SuiteReceive::waitsForSpace),
                new Case("xnb_rxpkt2gnttab_empty", trial -> {
                    SuiteRig rig = receive(trial, 0, 4, new byte[0], 0, 0);
                    trial.same("copies", 0, rig.copies().size());
                }),
                new Case("xnb_rxpkt2gnttab_short", trial -> {
                    SuiteRig rig = receive(trial, 9, 1, new byte[128], 0, 0);
                    trial.same("copies", 1, rig.copies().size());
                    SuiteRig.Copy copy = rig.copies().getFirst();
                    trial.same("direction", GrantCopyBatch.Direction.TO_GUEST, copy.direction());
                    trial.same("domain", SuiteRig.GUEST, copy.domid());
                    trial.same("page", gref(9), copy.gref());
                    trial.same("offset", 0, copy.pageOffset());
                    trial.same("length", 128, copy.length());
                }),
                new Case("xnb_rxpkt2gnttab_2req", trial -> {
                    SuiteRig rig = receive(trial, 11, 60, new byte[4097], 0, 0);
                    int sum = 0;
                    for (SuiteRig.Copy copy : rig.copies()) {
                        sum += copy.length();
                        trial.that("a copy beyond its page", copy.pageOffset() + copy.length() <= 4096);
                    }
                    trial.same("bytes", 4097, sum);
                }),
                new Case("xnb_rxpkt2rsp_empty", SuiteReceive::takesNothing),
                new Case("xnb_rxpkt2rsp_short", trial -> fitsOneSlot(trial, 5, 128)),
                new Case("xnb_rxpkt2rsp_extra", trial -> {
                    SuiteRig rig =
                            receive(trial, 3, 2, SuiteFrames.tcp(1500), VnetHeader.NEEDS_CSUM, VnetHeader.GSO_TCPV4);
                    trial.same("responses", 2, rig.rxAnswered() - 3);
                    isResponse(trial, rig, 3, EXTRA | Netif.RX_CSUM_BLANK | Netif.RX_DATA_VALIDATED, 1500);
                    isGso(trial, rig, 4);
                }),
                new Case("xnb_rxpkt2rsp_2short", trial -> fitsOneSlot(trial, 14, 380)),
                new Case("xnb_rxpkt2rsp_2slots", trial -> {
                    SuiteRig rig = receive(trial, 15, 3, new byte[4196], 0, 0);
                    trial.same("responses", 2, rig.rxAnswered() - 15);
                    isResponse(trial, rig, 15, MORE, 4096);
                    isResponse(trial, rig, 16, 0, 100);
                }),
                new Case("xnb_rxpkt2rsp_copyerror", SuiteReceive::copyError),
                new Case("rx_blank_udp6", trial -> {
                    SuiteRig rig = receive(trial, 0, 1, SuiteFrames.bytes(SuiteFrames.UDP6), VnetHeader.NEEDS_CSUM, 0);
                    isResponse(trial, rig, 0, Netif.RX_CSUM_BLANK | Netif.RX_DATA_VALIDATED, 70);
                }),
                new Case("rx_blank_unwanted", trial -> {
                    isFinished(
                            trial, SuiteFrames.TCP6, 70, new NetifParameters.Receives(true, true, true, true, false));
                    isFinished(trial, SuiteFrames.TCP, 50, new NetifParameters.Receives(true, true, true, false, true));
                }),
                new Case(
                        "rx_blank_vlan",
                        trial -> isFinished(
                                trial,
                                SuiteFrames.VLAN_TCP,
                                54,
                                new NetifParameters.Receives(true, true, true, true, true))),
                new Case("rx_gso_unwanted", SuiteReceive::segmentsForAGuestThatCannot));
    }

    private static void takesNothing(Trial trial) {
        SuiteRig rig = trial.rig(0);
        post(rig, 0, 4);
        rig.arrive(new byte[0], 0, 0, 0);
        trial.that("the interface is given up", rig.sweepRx());
        trial.same("responses", 0, rig.rxAnswered());
        trial.same("copies", 0, rig.copies().size());
        for (int i = 0; i < 4; i++) {
            trial.same("request " + i, gref(i), NetSlots.rxRequestGref(rig.rxSlot(i)));
        }
    }

    private static void fitsOneSlot(Trial trial, int start, int bytes) {
        byte[] frame = new byte[bytes];
        for (int i = 0; i < bytes; i++) {
            frame[i] = (byte) (i * 5);
        }
        SuiteRig rig = receive(trial, start, 64, frame, 0, 0);
        trial.same("slots", 1, rig.rxAnswered() - start);
        isResponse(trial, rig, start, 0, bytes);
        trial.that(
                "the guest got other bytes",
                rig.page(gref(start)).asSlice(0, bytes).mismatch(MemorySegment.ofArray(frame)) < 0);
    }

    private static void waitsForSpace(Trial trial) {
        SuiteRig rig = receive(trial, 3, 2, new byte[LONG], 0, 0);
        trial.same("responses", 3, rig.rxAnswered());
        trial.same("copies", 0, rig.copies().size());
        post(rig, 5, 1);
        rig.sweepRx();
        trial.same("responses once there is space", 6, rig.rxAnswered());
    }

    /** xnb gives one response with an error; netif.h and Linux one for each slot, with an error where it happened. */
    private static void copyError(Trial trial) {
        SuiteRig rig = trial.rig(2);
        post(rig, 2, 2);
        rig.rxUngranted(id(4), 4000);
        post(rig, 5, 1);
        NetSlots.putRxRequest(rig.rxSlot(6), 6859, 6859);
        rig.arrive(new byte[14336], 0, 0, 0);
        rig.sweepRx();
        trial.same("responses", 6, rig.rxAnswered());
        isResponse(trial, rig, 2, MORE, 4096);
        trial.same("id in slot 4", id(4), NetSlots.rxRequestId(rig.rxSlot(4)));
        trial.that("no error in slot 4", NetSlots.rxResponseStatus(rig.rxSlot(4)) < 0);
        trial.same("id of the canary", 6859, NetSlots.rxRequestId(rig.rxSlot(6)));
        trial.same("page of the canary", 6859, NetSlots.rxRequestGref(rig.rxSlot(6)));
    }

    private static void segmentsForAGuestThatCannot(Trial trial) {
        SuiteRig rig = trial.rig(0, new NetifParameters.Receives(true, false, false, true, true));
        post(rig, 0, 16);
        rig.arrive(SuiteFrames.tcp(66 + 1000), VnetHeader.NEEDS_CSUM, VnetHeader.GSO_TCPV4, 496);
        trial.that("the interface is given up", rig.sweepRx());
        trial.same("responses", 3, rig.rxAnswered());
        isResponse(trial, rig, 0, Netif.RX_DATA_VALIDATED, 66 + 496);
        isResponse(trial, rig, 1, Netif.RX_DATA_VALIDATED, 66 + 496);
        isResponse(trial, rig, 2, Netif.RX_DATA_VALIDATED, 66 + 8);
    }

    /** A guest that cannot finish such a frame gets it finished. */
    private static void isFinished(Trial trial, String hex, int field, NetifParameters.Receives receives) {
        SuiteRig rig = trial.rig(0, receives);
        MemorySegment frame = SuiteFrames.of(hex);
        SuiteFrames.put16(frame, field, 0xBAAD);
        post(rig, 0, 1);
        rig.arrive((byte[]) frame.heapBase().orElseThrow(), VnetHeader.NEEDS_CSUM, 0, 0);
        rig.sweepRx();
        isResponse(trial, rig, 0, Netif.RX_DATA_VALIDATED, (int) frame.byteSize());
        trial.same("frame", hex, SuiteFrames.hex(rig.page(gref(0)).asSlice(0, frame.byteSize())));
    }

    /** A frame comes in while the guest has posted {@code space} buffers from {@code start} on. */
    private static SuiteRig receive(Trial trial, int start, int space, byte[] frame, int flags, int gsoType) {
        SuiteRig rig = trial.rig(start);
        post(rig, start, space);
        rig.arrive(frame, flags, gsoType, gsoType == 0 ? 0 : 496);
        rig.sweepRx();
        return rig;
    }

    private static void post(SuiteRig rig, int from, int count) {
        for (int i = from; i < from + count; i++) {
            rig.rx(id(i), gref(i));
        }
    }

    private static int id(int slot) {
        return 300 + slot;
    }

    private static int gref(int slot) {
        return 100 + slot;
    }

    private static void isResponse(Trial trial, SuiteRig rig, int slot, int flags, int bytes) {
        MemorySegment response = rig.rxSlot(slot);
        trial.same("id in slot " + slot, id(slot), NetSlots.rxRequestId(response));
        trial.same("offset in slot " + slot, 0, NetSlots.rxResponseOffset(response));
        trial.same("flags in slot " + slot, flags, NetSlots.rxResponseFlags(response));
        trial.same("status in slot " + slot, bytes, NetSlots.rxResponseStatus(response));
    }

    private static void isGso(Trial trial, SuiteRig rig, int slot) {
        MemorySegment extra = rig.rxSlot(slot);
        trial.same("type of the extra info", Netif.EXTRA_GSO, NetSlots.extraType(extra));
        trial.that("another extra info follows", !NetSlots.extraMore(extra));
        trial.same("segment size", 496, NetSlots.gsoSize(extra));
        trial.same("type of segmentation", Netif.GSO_TCPV4, NetSlots.gsoType(extra));
    }
}
