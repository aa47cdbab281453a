package xenback.net.backend;

import java.lang.foreign.MemorySegment;
import java.util.List;
import xenback.net.backend.UnitSuite.Case;
import xenback.net.link.VnetHeader;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.grant.GrantCopyBatch;

/** From the guest to the link: xnb's txpkt2rsp, pkt2mbufc, txpkt2gnttab and update_mbufc, and what it lacked. */
final class SuiteTransmit {
    private static final int MORE = Netif.TX_MORE_DATA;
    private static final int EXTRA = Netif.TX_EXTRA_INFO;
    private static final int BLANK = Netif.TX_CSUM_BLANK;
    private static final int VALIDATED = Netif.TX_DATA_VALIDATED;

    private SuiteTransmit() {}

    static List<Case> cases() {
        return List.of(
                new Case("xnb_txpkt2rsp_emptypkt", trial -> {
                    SuiteRig rig = trial.rig(0);
                    String before = rig.rings();
                    trial.that("an empty ring is refused", rig.sweepTx());
                    // The backend asks for an event after the sweep, elsewhere: the rings stay byte for byte.
                    trial.that("the rings have changed", before.equals(rig.rings()));
                }),
                new Case("xnb_txpkt2rsp_1req", trial -> {
                    SuiteRig rig = trial.rig(0);
                    rig.tx(7, 0, 0, 42, 1000);
                    rig.sweepTx();
                    trial.same("responses", rig.txProduced(), rig.txAnswered());
                    isAnswered(trial, rig, 0, 42, Netif.STATUS_OKAY);
                }),
                new Case("xnb_txpkt2rsp_extra", SuiteTransmit::extra),
                new Case("xnb_txpkt2rsp_long", SuiteTransmit::longPacket),
                new Case("xnb_txpkt2rsp_invalid", trial -> {
                    SuiteRig rig = trial.rig(0);
                    rig.tx(7, 0, EXTRA, 69, 1000);
                    rig.txExtra(0xFF, 0, 0);
                    // xnb goes on after an error; today's rule is that the ring cannot be understood any more.
                    trial.that("the interface goes on", !rig.sweepTx());
                    trial.same("frames", 0, rig.sentCount());
                }),
                new Case("xnb_txpkt2rsp_error", trial -> {
                    SuiteRig rig = trial.rig(0);
                    rig.txUngranted(7, 0, 0, 42, 1000);
                    rig.sweepTx();
                    trial.same("responses", rig.txProduced(), rig.txAnswered());
                    isAnswered(trial, rig, 0, 42, Netif.STATUS_ERROR);
                    trial.same("frames", 0, rig.sentCount());
                }),
                new Case("xnb_txpkt2rsp_wraps", trial -> {
                    SuiteRig rig = trial.rig(Netif.SLOTS - 2);
                    rig.tx(7, 0, MORE, 1, 550);
                    rig.tx(8, 0, MORE, 2, 100);
                    rig.tx(9, 0, 0, 3, 50);
                    rig.sweepTx();
                    trial.same("responses", rig.txProduced(), rig.txAnswered());
                    isAnswered(trial, rig, Netif.SLOTS, 3, Netif.STATUS_OKAY);
                }),
                new Case("xnb_pkt2mbufc_empty", trial -> {
                    SuiteRig rig = trial.rig(0);
                    rig.sweepTx();
                    trial.same("frames", 0, rig.sentCount());
                }),
                new Case("xnb_pkt2mbufc_short", trial -> hasRoomFor(trial, 200)),
                new Case("xnb_pkt2mbufc_csum", trial -> {
                    SuiteRig rig = trial.rig(0);
                    rig.tx(7, 0, VALIDATED, 1, 200);
                    rig.sweepTx();
                    trial.same("flags", VnetHeader.DATA_VALID, VnetHeader.flags(rig.sentWithHeader(0), 0));
                }),
                new Case("xnb_pkt2mbufc_1cluster", trial -> hasRoomFor(trial, 250)),
                new Case("xnb_pkt2mbufc_largecluster", trial -> hasRoomFor(trial, 2049)),
                new Case("xnb_pkt2mbufc_2cluster", trial -> hasRoomFor(trial, 4097)),
                new Case("xnb_txpkt2gnttab_empty", trial -> {
                    SuiteRig rig = trial.rig(0);
                    rig.sweepTx();
                    trial.same("copies", 0, rig.copies().size());
                }),
                new Case("xnb_txpkt2gnttab_short", trial -> {
                    SuiteRig rig = trial.rig(0);
                    rig.tx(7, 17, 0, 1, 200);
                    rig.sweepTx();
                    trial.same("copies", 1, rig.copies().size());
                    isCopy(trial, rig, 0, 7, 17, 200);
                }),
                new Case("xnb_txpkt2gnttab_2req", trial -> {
                    SuiteRig rig = twoRequests(trial);
                    trial.same("copies", 2, rig.copies().size());
                    isCopy(trial, rig, 0, 7, 0, 1400);
                    isCopy(trial, rig, 1, 8, 0, 500);
                    trial.same(
                            "place of the second",
                            rig.copies().get(0).localAt() + 1400,
                            rig.copies().get(1).localAt());
                }),
                new Case("xnb_txpkt2gnttab_2cluster", trial -> {
                    SuiteRig rig = trial.rig(0);
                    rig.tx(8, 0, 0, 1, 4097); // its last byte is not on its page
                    trial.that("the interface goes on", !rig.sweepTx());
                    trial.same("copies", 0, rig.copies().size());
                }),
                new Case("xnb_update_mbufc_short", trial -> {
                    SuiteRig rig = trial.rig(0);
                    fill(rig.page(7));
                    rig.tx(7, 17, 0, 1, 200);
                    rig.sweepTx();
                    isPart(trial, rig, 0, rig.page(7).asSlice(17, 200));
                    trial.same("bytes", 200, rig.sent(0).byteSize());
                }),
                new Case("xnb_update_mbufc_2req", trial -> {
                    SuiteRig rig = twoRequests(trial);
                    trial.same("bytes", 1900, rig.sent(0).byteSize());
                    isPart(trial, rig, 0, rig.page(7).asSlice(0, 1400));
                    isPart(trial, rig, 1400, rig.page(8).asSlice(0, 500));
                }),
                new Case("xnb_update_mbufc_2cluster", trial -> {
                    SuiteRig rig = trial.rig(0);
                    fill(rig.page(7));
                    fill(rig.page(8));
                    rig.tx(7, 0, MORE, 1, 4097);
                    rig.tx(8, 4095, 0, 2, 1);
                    rig.sweepTx();
                    trial.same("bytes", 4097, rig.sent(0).byteSize());
                    isPart(trial, rig, 0, rig.page(7));
                    isPart(trial, rig, 4096, rig.page(8).asSlice(4095, 1));
                }),
                new Case("xnb_add_mbuf_cksum_tcp_swcksum", trial -> {
                    MemorySegment frame = SuiteFrames.of(SuiteFrames.TCP);
                    SuiteFrames.put16(frame, SuiteFrames.IP_CHECKSUM, 0xDEAD);
                    SuiteFrames.put16(frame, 50, 0xBEEF);
                    SuiteRig rig = send(trial, frame, 0);
                    trial.same("frame", SuiteFrames.hex(frame), SuiteFrames.hex(rig.sent(0)));
                    trial.same("flags", 0, VnetHeader.flags(rig.sentWithHeader(0), 0));
                }),
                new Case("tx_blank_tcp", trial -> isPartial(trial, SuiteFrames.TCP, 50, 0x9588)),
                new Case("tx_blank_udp", trial -> isPartial(trial, SuiteFrames.UDP, 40, 0x957B)),
                new Case("tx_blank_tcp6", trial -> isPartial(trial, SuiteFrames.TCP6, 70, 0xFA44)),
                new Case("tx_blank_vlan", trial -> isPartial(trial, SuiteFrames.VLAN_TCP, 54, 0x9588)),
                new Case("tx_blank_fragment", trial -> {
                    SuiteRig rig = send(trial, SuiteFrames.of(SuiteFrames.LATER_FRAGMENT), BLANK | VALIDATED);
                    trial.same("frame", SuiteFrames.LATER_FRAGMENT, SuiteFrames.hex(rig.sent(0)));
                    trial.same("flags", 0, VnetHeader.flags(rig.sentWithHeader(0), 0));
                }),
                new Case("tx_gso_tcp6", SuiteTransmit::gso6),
                new Case("tx_multicast", SuiteTransmit::multicast),
                new Case("tx_zeromiddle", SuiteTransmit::zeroMiddle),
                new Case("tx_many", trial -> {
                    SuiteRig rig = trial.rig(-100); // over the end of 32 bits
                    for (int i = 0; i < Netif.SLOTS; i++) {
                        rig.tx(i, 0, 0, i, 60);
                    }
                    rig.sweepTx();
                    trial.same("responses", rig.txProduced(), rig.txAnswered());
                    trial.same("frames", Netif.SLOTS, rig.sentCount());
                }),
                new Case("tx_overflow", trial -> {
                    SuiteRig rig = trial.rig(0);
                    rig.claimTx(Netif.SLOTS + 1);
                    trial.that("the interface goes on", !rig.sweepTx());
                    trial.same("frames", 0, rig.sentCount());
                }));
    }

    /** xnb's own test has no frame behind it; ours must be one that can be cut. */
    private static void extra(Trial trial) {
        SuiteRig rig = trial.rig(0);
        rig.page(7).asSlice(0, 1000).copyFrom(MemorySegment.ofArray(SuiteFrames.tcp(1000)));
        rig.tx(7, 0, EXTRA | BLANK | VALIDATED, 69, 1000);
        rig.txGso(496, Netif.GSO_TCPV4);
        rig.sweepTx();
        trial.same("responses", rig.txProduced(), rig.txAnswered());
        isAnswered(trial, rig, 0, 69, Netif.STATUS_OKAY);
        isNull(trial, rig, 1);
        MemorySegment header = rig.sentWithHeader(0);
        trial.same("type", VnetHeader.GSO_TCPV4, VnetHeader.gsoType(header, 0));
        trial.same("segment size", 496, VnetHeader.gsoSize(header, 0));
    }

    private static void longPacket(Trial trial) {
        SuiteRig rig = trial.rig(0);
        byte[] frame = SuiteFrames.tcp(1000);
        rig.page(7).asSlice(0, 300).copyFrom(MemorySegment.ofArray(frame).asSlice(0, 300));
        rig.page(8).asSlice(0, 300).copyFrom(MemorySegment.ofArray(frame).asSlice(300, 300));
        rig.page(9).asSlice(0, 400).copyFrom(MemorySegment.ofArray(frame).asSlice(600, 400));
        rig.tx(7, 0, EXTRA | MORE | BLANK | VALIDATED, 254, 1000);
        rig.txGso(496, Netif.GSO_TCPV4);
        rig.tx(8, 0, MORE, 1034, 300);
        rig.tx(9, 0, 0, 34, 400);
        rig.sweepTx();
        trial.same("responses", rig.txProduced(), rig.txAnswered());
        isAnswered(trial, rig, 0, 254, Netif.STATUS_OKAY);
        isNull(trial, rig, 1);
        isAnswered(trial, rig, 2, 1034, Netif.STATUS_OKAY);
        isAnswered(trial, rig, 3, 34, Netif.STATUS_OKAY);
        trial.same("bytes", 1000, rig.sent(0).byteSize());
    }

    private static void gso6(Trial trial) {
        SuiteRig rig = trial.rig(0);
        byte[] frame = SuiteFrames.bytes(SuiteFrames.TCP6);
        rig.page(7).asSlice(0, frame.length).copyFrom(MemorySegment.ofArray(frame));
        rig.tx(7, 0, EXTRA | BLANK | VALIDATED, 1, frame.length);
        rig.txGso(496, Netif.GSO_TCPV6);
        rig.tx(7, 0, EXTRA | BLANK | VALIDATED, 2, frame.length);
        rig.txGso(496, Netif.GSO_TCPV4); // which it is not
        rig.sweepTx();
        isAnswered(trial, rig, 0, 1, Netif.STATUS_OKAY);
        isAnswered(trial, rig, 2, 2, Netif.STATUS_ERROR);
        isNull(trial, rig, 3);
        trial.same("frames", 1, rig.sentCount());
        trial.same("type", VnetHeader.GSO_TCPV6, VnetHeader.gsoType(rig.sentWithHeader(0), 0));
    }

    /** Carries no data: the size does not matter, the page is not touched. */
    private static void multicast(Trial trial) {
        SuiteRig rig = trial.rig(0);
        rig.txUngranted(7, 0, EXTRA, 11, 64);
        rig.txExtra(Netif.EXTRA_MCAST_ADD, 0, 0x0100005E0001L);
        rig.sweepTx();
        trial.same("responses", rig.txProduced(), rig.txAnswered());
        isAnswered(trial, rig, 0, 11, Netif.STATUS_OKAY);
        isNull(trial, rig, 1);
        trial.same("copies", 0, rig.copies().size());
        trial.same("frames", 0, rig.sentCount());
    }

    private static void zeroMiddle(Trial trial) {
        SuiteRig rig = trial.rig(0);
        rig.tx(7, 0, MORE, 1, 200);
        rig.tx(8, 0, MORE, 2, 0);
        rig.tx(9, 0, 0, 3, 50);
        rig.sweepTx();
        for (int i = 0; i < 3; i++) {
            isAnswered(trial, rig, i, i + 1, Netif.STATUS_OKAY);
        }
        trial.same("copies", 2, rig.copies().size());
        trial.same("bytes", 200, rig.sent(0).byteSize());
    }

    private static SuiteRig twoRequests(Trial trial) {
        SuiteRig rig = trial.rig(0);
        fill(rig.page(7));
        fill(rig.page(8));
        rig.tx(7, 0, MORE, 1, 1900);
        rig.tx(8, 0, 0, 2, 500);
        rig.sweepTx();
        return rig;
    }

    private static void hasRoomFor(Trial trial, int bytes) {
        SuiteRig rig = trial.rig(0);
        rig.tx(7, 0, bytes > 4096 ? MORE : 0, 1, bytes);
        if (bytes > 4096) {
            rig.tx(8, 0, 0, 2, bytes - 4096);
        }
        trial.that("the interface is given up", rig.sweepTx());
        trial.same("frames", 1, rig.sentCount());
        trial.same("bytes", bytes, rig.sent(0).byteSize());
    }

    private static SuiteRig send(Trial trial, MemorySegment frame, int flags) {
        SuiteRig rig = trial.rig(0);
        rig.page(7).asSlice(0, frame.byteSize()).copyFrom(frame);
        rig.tx(7, 0, flags, 1, (int) frame.byteSize());
        rig.sweepTx();
        return rig;
    }

    /** A guest leaves the checksum blank: the link gets the pseudo-header's sum, whatever the guest wrote. */
    private static void isPartial(Trial trial, String hex, int field, int sum) {
        MemorySegment frame = SuiteFrames.of(hex);
        SuiteFrames.put16(frame, field, 0xBAAD);
        SuiteRig rig = send(trial, frame, BLANK | VALIDATED);
        trial.same("flags", VnetHeader.NEEDS_CSUM, VnetHeader.flags(rig.sentWithHeader(0), 0));
        trial.same("pseudo-header", sum, SuiteFrames.u16(rig.sent(0), field));
    }

    private static void isAnswered(Trial trial, SuiteRig rig, int slot, int id, int status) {
        MemorySegment response = rig.txSlot(slot);
        trial.same("id in slot " + slot, id, NetSlots.txResponseId(response));
        trial.same("status in slot " + slot, status, NetSlots.txResponseStatus(response));
    }

    /** Its id means nothing. */
    private static void isNull(Trial trial, SuiteRig rig, int slot) {
        trial.same("status in slot " + slot, Netif.STATUS_NULL, NetSlots.txResponseStatus(rig.txSlot(slot)));
    }

    private static void isCopy(Trial trial, SuiteRig rig, int index, int gref, int pageOffset, int length) {
        SuiteRig.Copy copy = rig.copies().get(index);
        trial.same("direction", GrantCopyBatch.Direction.FROM_GUEST, copy.direction());
        trial.same("domain", SuiteRig.GUEST, copy.domid());
        trial.same("page", gref, copy.gref());
        trial.same("offset", pageOffset, copy.pageOffset());
        trial.same("length", length, copy.length());
    }

    private static void isPart(Trial trial, SuiteRig rig, int at, MemorySegment expected) {
        MemorySegment part = rig.sent(0).asSlice(at, expected.byteSize());
        trial.that("bytes from " + at + " differ", part.mismatch(expected) < 0);
    }

    private static void fill(MemorySegment page) {
        for (int i = 0; i < page.byteSize(); i++) {
            page.set(java.lang.foreign.ValueLayout.JAVA_BYTE, i, (byte) (i * 7 + (i >>> 8)));
        }
    }
}
