package xenback.net.packet;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Checksums against what RFCs and FreeBSD's xnb print; ChecksumsOracleTest has them against tshark. */
class ChecksumsTest {
    private static final int IP_CHECKSUM_AT = 14 + 10;
    private static final int UDP_CHECKSUM_AT = 34 + 6;
    private static final int TCP_CHECKSUM_AT = 34 + 16;

    /** RFC 1071, 3. */
    @Test
    void sumsTheExampleOfRfc1071() {
        MemorySegment bytes = Frames.of("0001f203f4f5f6f7");

        assertThat(Checksums.sum(bytes, 0, 8)).isEqualTo(0xDDF2);
    }

    @Test
    void oddByteAtTheEndIsTheUpperHalf() {
        assertThat(Checksums.sum(Frames.of("0001f2"), 0, 3)).isEqualTo(0xF201);
    }

    @Test
    void sumOfNothingIsZero() {
        assertThat(Checksums.sum(Frames.of(""), 0, 0)).isZero();
        assertThat(Checksums.sum(MemorySegment.ofArray(new byte[99]), 0, 99)).isZero();
    }

    /** Word by word, as RFC 1071 4.1 has it in C. */
    @Test
    void sumIsThatOfSixteenBitWordsAtEveryLengthAndAlignment() {
        byte[] bytes = new byte[65_600];
        new Random(1).nextBytes(bytes);
        MemorySegment memory = MemorySegment.ofArray(bytes);
        for (int length = 0; length < 200; length++) {
            for (int offset = 0; offset < 9; offset++) {
                assertThat(Checksums.sum(memory, offset, length)).isEqualTo(slowSum(bytes, offset, length));
            }
        }
        assertThat(Checksums.sum(memory, 1, 65_535)).isEqualTo(slowSum(bytes, 1, 65_535));
    }

    @Test
    void sumKeepsEveryCarry() {
        MemorySegment ones = MemorySegment.ofArray(new byte[65_535]).fill((byte) 0xFF);

        assertThat(Checksums.sum(ones, 0, 65_534)).isEqualTo(0xFFFF);
        assertThat(Checksums.sum(ones, 0, 65_535)).isEqualTo(0xFF00);
    }

    private static int slowSum(byte[] bytes, int offset, int length) {
        int sum = 0;
        for (int i = 0; i < length; i++) {
            sum += (bytes[offset + i] & 0xFF) << ((i & 1) == 0 ? 8 : 0);
            sum = (sum & 0xFFFF) + (sum >>> 16);
        }
        return sum;
    }

    @Test
    void crcIsTheJdksAtEveryLength() {
        byte[] bytes = new byte[100];
        new Random(2).nextBytes(bytes);
        for (int length = 0; length <= bytes.length; length++) {
            CRC32C jdk = new CRC32C();
            jdk.update(bytes, 0, length);

            assertThat(~Crc32c.update(Crc32c.INITIAL, MemorySegment.ofArray(bytes), 0, length))
                    .isEqualTo((int) jdk.getValue());
        }
    }

    /** xnb_add_mbuf_cksum_arp. */
    @Test
    void leavesArpAlone() {
        String arp = "ffffffffffff00151 7e93068 0806 0001 0800 06 04 0001 00151 7e93068 c0a80a04 000000000000 c0a80a06";

        assertUnchanged(arp);
    }

    /** xnb_add_mbuf_cksum_icmp: its message is not a byte different, its IPv4 header is completed. */
    @Test
    void leavesIcmpAlone() {
        MemorySegment frame = MemorySegment.ofArray(new byte[98]);
        MemorySegment head = Frames.of("00163e23500b001630000000 0800 45000054001c00004001 0000 c0a80a04c0a80a05"
                + "0800aed7 7b04 0001 accf024f 6ac40700 08090a0b0c0d0e0f1011121314151617 18191a1b1c1d1e1f2021222324");
        frame.copyFrom(head);
        String message = Frames.hex(frame.asSlice(34));
        FrameHeaders headers = Frames.parse(frame);

        assertThat(Checksums.complete(frame, 0, headers)).isFalse();
        Checksums.completeIpv4Header(frame, 0, headers);

        assertThat(FrameHeaders.u16(frame, IP_CHECKSUM_AT)).isEqualTo(0xE533);
        assertThat(Frames.hex(frame.asSlice(34))).isEqualTo(message);
    }

    /** xnb_add_mbuf_cksum_tcp, with every value that the field may hold before. */
    @ParameterizedTest
    @ValueSource(ints = {0xBAAD, 0, 0xFFFF, 0x2F64, 0x9588})
    void completesTcp(int before) {
        MemorySegment frame = Frames.of(Frames.XNB_TCP);
        Frames.put16(frame, IP_CHECKSUM_AT, 0xDEAD);
        Frames.put16(frame, TCP_CHECKSUM_AT, before);

        assertCompleted(frame, Frames.XNB_TCP);
    }

    /** xnb_add_mbuf_cksum_udp. */
    @ParameterizedTest
    @ValueSource(ints = {0xBAAD, 0, 0xFFFF, 0xDDE2, 0x957B})
    void completesUdp(int before) {
        MemorySegment frame = Frames.of(Frames.XNB_UDP);
        Frames.put16(frame, IP_CHECKSUM_AT, 0xBAAD);
        Frames.put16(frame, UDP_CHECKSUM_AT, before);

        assertCompleted(frame, Frames.XNB_UDP);
    }

    private static void assertCompleted(MemorySegment frame, String expected) {
        FrameHeaders headers = Frames.parse(frame);
        assertThat(Checksums.isIpv4HeaderRight(frame, 0, headers)).isFalse();

        Checksums.completeIpv4Header(frame, 0, headers);
        assertThat(Checksums.complete(frame, 0, headers)).isTrue();

        assertThat(Frames.hex(frame)).isEqualTo(expected);
        assertThat(Checksums.isIpv4HeaderRight(frame, 0, headers)).isTrue();
        assertThat(Checksums.isRight(frame, 0, headers)).isTrue();
    }

    @Test
    void partialChecksumIsThePseudoHeadersSum() {
        MemorySegment udp = Frames.of(Frames.XNB_UDP);
        MemorySegment tcp = Frames.of(Frames.XNB_TCP);

        assertThat(Checksums.preparePartial(udp, 0, Frames.parse(udp))).isTrue();
        assertThat(Checksums.preparePartial(tcp, 0, Frames.parse(tcp))).isTrue();

        assertThat(FrameHeaders.u16(udp, UDP_CHECKSUM_AT)).isEqualTo(0x957B);
        assertThat(FrameHeaders.u16(tcp, TCP_CHECKSUM_AT)).isEqualTo(0x9588);
    }

    @Test
    void frameMayStandAnywhereInMemory() {
        MemorySegment memory = MemorySegment.ofArray(new byte[200]);
        MemorySegment.copy(Frames.of(Frames.XNB_TCP), 0, memory, 77, 74);
        Frames.put16(memory, 77 + TCP_CHECKSUM_AT, 1);
        FrameHeaders headers = new FrameHeaders();
        headers.parse(memory, 77, 74);

        assertThat(Checksums.complete(memory, 77, headers)).isTrue();

        assertThat(Frames.hex(memory.asSlice(77, 74))).isEqualTo(Frames.XNB_TCP);
        assertThat(memory.asSlice(0, 77).mismatch(MemorySegment.ofArray(new byte[77])))
                .isEqualTo(-1);
    }

    /** The last word of the payload makes the sum 0xffff, whose complement 0 would mean that there is no checksum. */
    @Test
    void udpZeroIsStoredAsAllOnes() {
        MemorySegment frame = Frames.of(Frames.XNB_UDP);
        Frames.put16(frame, 48, Checksums.add(FrameHeaders.u16(frame, 48), 0xDDE2));
        FrameHeaders headers = Frames.parse(frame);

        assertThat(Checksums.complete(frame, 0, headers)).isTrue();

        assertThat(FrameHeaders.u16(frame, UDP_CHECKSUM_AT)).isEqualTo(0xFFFF);
        assertThat(Checksums.isRight(frame, 0, headers)).isTrue();
    }

    @Test
    void udpOverIpv4MayGoWithoutChecksum() {
        MemorySegment frame = Frames.of(Frames.XNB_UDP);
        Frames.put16(frame, UDP_CHECKSUM_AT, 0);

        assertThat(Checksums.isRight(frame, 0, Frames.parse(frame))).isTrue();
    }

    @Test
    void wrongChecksumIsSeen() {
        MemorySegment frame = Frames.of(Frames.XNB_UDP);
        Frames.put16(frame, UDP_CHECKSUM_AT, 0xDDE3);

        assertThat(Checksums.isRight(frame, 0, Frames.parse(frame))).isFalse();
    }

    /** xnb overwrote the payload of every fragment but the first. */
    @ParameterizedTest
    @ValueSource(ints = {0x2000, 0x0001, 0x2010})
    void leavesFragmentsAlone(int fragmentField) {
        MemorySegment frame = Frames.of(Frames.XNB_UDP);
        Frames.put16(frame, 20, fragmentField);

        assertUnchanged(Frames.hex(frame));
    }

    @Test
    void leavesTruncatedPacketsAlone() {
        String udp = "00163e23500b001630000000 86dd 60000000 000a 1140 20010db8000000000000000000000001"
                + "20010db8000000000000000000000002 0001 0002 000a 0000 1234";

        assertUnchanged(Frames.XNB_UDP.substring(0, Frames.XNB_UDP.length() - 2));
        assertUnchanged(udp.substring(0, udp.length() - 2));
        assertUnchanged(udp.replace("000a 0000", "0009 0000").replace("000a 1140", "0400 1140"));
    }

    @Test
    void ethernetPaddingIsNoPartOfTheChecksum() {
        MemorySegment frame = Frames.of(Frames.XNB_UDP + "a5a5a5a5a5a5a5a5a5a5");
        Frames.put16(frame, UDP_CHECKSUM_AT, 7);

        assertThat(Checksums.complete(frame, 0, Frames.parse(frame))).isTrue();

        assertThat(Frames.hex(frame)).startsWith(Frames.XNB_UDP);
    }

    /** Who finishes a partial checksum sums up to the frame's end. */
    @Test
    void partialChecksumRefusesPaddingThatIsNotZero() {
        MemorySegment zeroes = Frames.of(Frames.XNB_UDP + "00000000000000000000");
        MemorySegment other = Frames.of(Frames.XNB_UDP + "00000000000000000001");

        assertThat(Checksums.preparePartial(zeroes, 0, Frames.parse(zeroes))).isTrue();
        assertThat(Checksums.preparePartial(other, 0, Frames.parse(other))).isFalse();
    }

    private static void assertUnchanged(String hex) {
        MemorySegment frame = Frames.of(hex);
        FrameHeaders headers = Frames.parse(frame);
        String before = Frames.hex(frame);

        assertThat(Checksums.complete(frame, 0, headers)).isFalse();
        assertThat(Checksums.preparePartial(frame, 0, headers)).isFalse();

        assertThat(Frames.hex(frame)).isEqualTo(before);
    }
}
