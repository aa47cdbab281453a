package xenback.net.backend;

import java.lang.foreign.MemorySegment;
import java.util.List;
import xenback.net.backend.UnitSuite.Case;
import xenback.net.packet.Checksums;
import xenback.net.packet.FrameHeaders;
import xenback.net.packet.Segmenter;
import xenback.net.packet.Toeplitz;

/** Checksums and what hangs on them: xnb's add_mbuf_cksum, and what it lacked. */
final class SuiteChecksums {
    private SuiteChecksums() {}

    static List<Case> cases() {
        return List.of(
                new Case("xnb_add_mbuf_cksum_arp", trial -> isLeftAlone(trial, SuiteFrames.ARP)),
                new Case("xnb_add_mbuf_cksum_icmp", trial -> {
                    MemorySegment frame = SuiteFrames.of(SuiteFrames.ICMP);
                    SuiteFrames.put16(frame, SuiteFrames.IP_CHECKSUM, 0);
                    repair(frame);
                    trial.same("IP checksum", 0xE533, SuiteFrames.u16(frame, SuiteFrames.IP_CHECKSUM));
                    trial.same("frame", SuiteFrames.ICMP, SuiteFrames.hex(frame));
                }),
                new Case("xnb_add_mbuf_cksum_tcp", trial -> {
                    MemorySegment frame = SuiteFrames.of(SuiteFrames.TCP);
                    SuiteFrames.put16(frame, SuiteFrames.IP_CHECKSUM, 0);
                    SuiteFrames.put16(frame, 50, 0xBAAD);
                    repair(frame);
                    trial.same("IP checksum", 0xA55A, SuiteFrames.u16(frame, SuiteFrames.IP_CHECKSUM));
                    trial.same("TCP checksum", 0x2F64, SuiteFrames.u16(frame, 50));
                }),
                new Case("xnb_add_mbuf_cksum_udp", trial -> {
                    MemorySegment frame = SuiteFrames.of(SuiteFrames.UDP);
                    SuiteFrames.put16(frame, SuiteFrames.IP_CHECKSUM, 0xBAAD);
                    SuiteFrames.put16(frame, 40, 0xBAAD);
                    repair(frame);
                    trial.same("IP checksum", 0xE56B, SuiteFrames.u16(frame, SuiteFrames.IP_CHECKSUM));
                    trial.same("UDP checksum", 0xDDE2, SuiteFrames.u16(frame, 40));
                }),
                new Case("checksum_udp_option", trial -> isRepaired(trial, SuiteFrames.UDP_WITH_OPTION)),
                new Case("checksum_udp_zero", trial -> isRepaired(trial, SuiteFrames.UDP_ZERO)),
                new Case("checksum_udp6", trial -> isRepaired(trial, SuiteFrames.UDP6)),
                new Case("checksum_tcp6", trial -> isRepaired(trial, SuiteFrames.TCP6)),
                new Case("checksum_tcp6_extensions", trial -> isRepaired(trial, SuiteFrames.TCP6_WITH_EXTENSIONS)),
                new Case("checksum_vlan_tcp", trial -> isRepaired(trial, SuiteFrames.VLAN_TCP)),
                new Case("checksum_qinq_udp6", trial -> isRepaired(trial, SuiteFrames.QINQ_UDP6)),
                new Case("checksum_fragment_first", trial -> isLeftAlone(trial, SuiteFrames.FIRST_FRAGMENT)),
                new Case("checksum_fragment_later", trial -> isLeftAlone(trial, SuiteFrames.LATER_FRAGMENT)),
                new Case("checksum_fragment6", trial -> isLeftAlone(trial, SuiteFrames.FRAGMENT6)),
                new Case("checksum_partial", trial -> {
                    isPartial(trial, SuiteFrames.UDP, 0x957B);
                    isPartial(trial, SuiteFrames.TCP, 0x9588);
                    isPartial(trial, SuiteFrames.UDP6, 0xFA37);
                    isPartial(trial, SuiteFrames.TCP6, 0xFA44);
                    isPartial(trial, SuiteFrames.TCP6_WITH_EXTENSIONS, 0xFA44);
                }),
                new Case("segments_tcp", SuiteChecksums::segments),
                new Case("hash_toeplitz", SuiteChecksums::toeplitz));
    }

    /** What xnb does with a frame whose guest vouches for it. */
    private static void repair(MemorySegment frame) {
        FrameHeaders headers = new FrameHeaders();
        headers.parse(frame, 0, (int) frame.byteSize());
        Checksums.completeIpv4Header(frame, 0, headers);
        Checksums.complete(frame, 0, headers);
    }

    private static void isRepaired(Trial trial, String hex) {
        MemorySegment frame = SuiteFrames.of(hex);
        FrameHeaders headers = new FrameHeaders();
        headers.parse(frame, 0, (int) frame.byteSize());
        trial.that("no checksum is found", headers.checksumOffset() > 0);
        if (headers.checksumOffset() > 0) {
            SuiteFrames.put16(frame, headers.checksumOffset(), 0xBAAD);
            repair(frame);
            trial.same("frame", hex, SuiteFrames.hex(frame));
        }
    }

    private static void isLeftAlone(Trial trial, String hex) {
        MemorySegment frame = SuiteFrames.of(hex);
        repair(frame);
        trial.same("frame", hex, SuiteFrames.hex(frame));
    }

    private static void isPartial(Trial trial, String hex, int sum) {
        MemorySegment frame = SuiteFrames.of(hex);
        FrameHeaders headers = new FrameHeaders();
        headers.parse(frame, 0, (int) frame.byteSize());
        trial.that("no partial checksum", Checksums.preparePartial(frame, 0, headers));
        trial.same("pseudo-header", sum, SuiteFrames.u16(frame, headers.checksumOffset()));
    }

    private static void segments(Trial trial) {
        MemorySegment frame = MemorySegment.ofArray(SuiteFrames.tcp(66 + 1000));
        MemorySegment segment = MemorySegment.ofArray(new byte[66 + 496]);
        FrameHeaders headers = new FrameHeaders();
        headers.parse(frame, 0, (int) frame.byteSize());
        Segmenter segmenter = new Segmenter();
        trial.same("segments", 3, segmenter.begin(frame, 0, (int) frame.byteSize(), headers, 496));
        FrameHeaders parsed = new FrameHeaders();
        for (int i = 0; i < 3; i++) {
            int bytes = segmenter.next(segment, 0);
            trial.same("bytes of " + i, 66 + (i < 2 ? 496 : 8), bytes);
            parsed.parse(segment, 0, bytes);
            trial.that("IP checksum of " + i, Checksums.isIpv4HeaderRight(segment, 0, parsed));
            trial.that("TCP checksum of " + i, Checksums.isRight(segment, 0, parsed));
            trial.same("identification of " + i, 8 + i, SuiteFrames.u16(segment, 18));
            trial.same("sequence of " + i, 0x2B10 + 496 * i, SuiteFrames.u16(segment, 40));
        }
        trial.same("bytes after the last", 0, segmenter.next(segment, 0));
    }

    /** The first vector of Microsoft's "Verifying the RSS Hash Calculation". */
    private static void toeplitz(Trial trial) {
        MemorySegment frame = SuiteFrames.of(SuiteFrames.TCP);
        frame.asSlice(26, 12).copyFrom(SuiteFrames.of("420995bba18e64500aea06e6")); // addresses, ports
        FrameHeaders headers = new FrameHeaders();
        headers.parse(frame, 0, (int) frame.byteSize());
        Toeplitz toeplitz = new Toeplitz();
        toeplitz.setKey(
                SuiteFrames.bytes("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"));
        trial.same(
                "hash of addresses and ports",
                0x51CCC178,
                toeplitz.hash(frame, 0, headers, Toeplitz.IPV4 | Toeplitz.IPV4_TCP));
        trial.same("hash of addresses", 0x323E8FC2, toeplitz.hash(frame, 0, headers, Toeplitz.IPV4));
    }
}
