package xenback.net.packet;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import xenback.net.packet.FrameHeaders.L4;

/** Where things stand in frames of every shape, and that no bytes make it fail. */
class FrameHeadersTest {
    private static final String MACS = "00163e23500b 001630000000";
    private static final String ADDRESSES_6 = "20010db8000000000000000000000001 20010db8000000000000000000000002";
    private static final String UDP = "0001 0002 0008 0000";

    @Test
    void readsTcpOverIpv4() {
        FrameHeaders headers = Frames.parse(Frames.of(Frames.XNB_TCP + "0000"));

        assertThat(headers.etherType()).isEqualTo(0x0800);
        assertThat(headers.vlanTags()).isZero();
        assertThat(headers.ipVersion()).isEqualTo(4);
        assertThat(headers.ipOffset()).isEqualTo(14);
        assertThat(headers.l4()).isEqualTo(L4.TCP);
        assertThat(headers.protocol()).isEqualTo(6);
        assertThat(headers.l4Offset()).isEqualTo(34);
        assertThat(headers.l4Length()).isEqualTo(40);
        assertThat(headers.endOffset()).isEqualTo(74);
        assertThat(headers.headerBytes()).isEqualTo(66);
        assertThat(headers.checksumOffset()).isEqualTo(50);
        assertThat(headers.tcpFlags()).isEqualTo(0x18);
        assertThat(headers.isFragment()).isFalse();
        assertThat(headers.isTruncated()).isFalse();
    }

    @ParameterizedTest
    @ValueSource(strings = {"8100 0001", "88a8 0001 8100 0002", "9100 0001 8100 0002", "8100 0001 8100 0002 8100 0003"})
    void looksBehindVlanTags(String tags) {
        int bytes = Frames.bytes(tags).length;
        FrameHeaders headers = Frames.parse(Frames.of(MACS + tags + Frames.XNB_UDP.substring(24)));

        assertThat(headers.vlanTags()).isEqualTo(bytes / 4);
        assertThat(headers.etherType()).isEqualTo(0x0800);
        assertThat(headers.ipOffset()).isEqualTo(14 + bytes);
        assertThat(headers.l4()).isEqualTo(L4.UDP);
        assertThat(headers.headerBytes()).isEqualTo(42 + bytes);
    }

    @Test
    void looksBehindEightTagsOnly() {
        String eight = "8100 0001".repeat(8);

        assertThat(Frames.parse(Frames.of(MACS + eight + Frames.XNB_UDP.substring(24)))
                        .l4())
                .isEqualTo(L4.UDP);
        assertThat(Frames.parse(Frames.of(MACS + eight + "8100 0009" + Frames.XNB_UDP.substring(24)))
                        .ipVersion())
                .isZero();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "", // none
                "00:__00000104000000 00", // hop-by-hop
                "3c:__01000104000000 000000000000000000", // destination options of 16 bytes
                "2b:__00000000000000 00", // routing without segments left
                "2c:__00000012345678 00", // an atomic fragment
                "33:__04000000000001 00000001 0000000000000000 00000000" // authentication of 24 bytes
            })
    void looksBehindIpv6Extensions(String extension) {
        MemorySegment frame = withExtension(extension);
        FrameHeaders headers = Frames.parse(frame);

        assertThat(headers.l4()).isEqualTo(L4.UDP);
        assertThat(headers.l4Offset()).isEqualTo((int) frame.byteSize() - 8);
        assertThat(headers.checksumOffset()).isEqualTo((int) frame.byteSize() - 2);
        assertThat(headers.isFragment()).isFalse();
    }

    @ParameterizedTest
    @ValueSource(strings = {"2c:__00000112345678 00", "2c:__00000812345678 00", "2c:__00fff912345678 00"})
    void seesIpv6Fragments(String extension) {
        FrameHeaders headers = Frames.parse(withExtension(extension));

        assertThat(headers.isFragment()).isTrue();
        assertThat(headers.protocol()).isEqualTo(17);
        assertThat(headers.l4()).isEqualTo(L4.NONE);
        assertThat(headers.checksumOffset()).isEqualTo(-1);
    }

    /** UDP over IPv6 behind an extension header, written as its number, a colon, and its bytes with __ for the next header. */
    private static MemorySegment withExtension(String extension) {
        String first = extension.isEmpty() ? "11" : extension.substring(0, 2);
        String bytes = extension.isEmpty() ? "" : extension.substring(3).replace("__", "11");
        String hex = bytes.replace(" ", "");
        hex = hex.substring(0, hex.length() / 16 * 16);
        String payload = "%04x".formatted(hex.length() / 2 + 8);
        return Frames.of(MACS + "86dd 60000000" + payload + first + "40" + ADDRESSES_6 + hex + UDP);
    }

    /** Types 0 and 2 end with the final destination, type 4 begins with it. */
    @ParameterizedTest
    @ValueSource(ints = {0, 2, 4})
    void pseudoHeaderHasTheFinalDestination(int type) {
        String end = "20010db8000000000000000000000099";
        String route = "1102%02x0100000000".formatted(type) + end;
        MemorySegment routed = Frames.of(MACS + "86dd 60000000 0020 2b40" + ADDRESSES_6 + route + UDP);
        MemorySegment direct = Frames.of(MACS + "86dd 60000000 0008 1140" + ADDRESSES_6.substring(0, 33) + end + UDP);

        assertThat(Checksums.pseudoHeader(routed, 0, Frames.parse(routed)))
                .isEqualTo(Checksums.pseudoHeader(direct, 0, Frames.parse(direct)));
    }

    @Test
    void unknownRouteHasNoChecksum() {
        String route = "1102 03 01 00000000 20010db8000000000000000000000099";
        FrameHeaders headers = Frames.parse(Frames.of(MACS + "86dd 60000000 0020 2b40" + ADDRESSES_6 + route + UDP));

        assertThat(headers.l4()).isEqualTo(L4.UDP);
        assertThat(headers.checksumOffset()).isEqualTo(-1);
    }

    /** RFC 791 3.1: the last address of the route. */
    @Test
    void sourceRouteOfIpv4HasTheFinalDestination() {
        String direct = "4500001c 00000000 4011 0000 c0a80a04 0a000063" + UDP;
        String routed = "47000024 00000000 4011 0000 c0a80a04 c0a80a05 8307 04 0a000063 00" + UDP;
        String arrived = "47000024 00000000 4011 0000 c0a80a04 0a000063 8307 08 c0a80a05 00" + UDP;

        assertThat(pseudoHeader(routed)).isEqualTo(pseudoHeader(direct));
        assertThat(pseudoHeader(arrived)).isEqualTo(pseudoHeader(direct));
    }

    private static int pseudoHeader(String packet) {
        MemorySegment frame = Frames.of(MACS + "0800" + packet);
        return Checksums.pseudoHeader(frame, 0, Frames.parse(frame));
    }

    @Test
    void shortFrameIsNoEthernet() {
        assertThat(new FrameHeaders().parse(Frames.of(Frames.XNB_UDP), 0, 13)).isFalse();
        assertThat(new FrameHeaders().parse(Frames.of(Frames.XNB_UDP), 0, 14)).isTrue();
    }

    @Test
    void nothingOfTheFrameBeforeIsLeft() {
        FrameHeaders headers = Frames.parse(Frames.of(Frames.XNB_TCP));

        headers.parse(MemorySegment.ofArray(new byte[14]), 0, 14);

        assertThat(headers.ipVersion()).isZero();
        assertThat(headers.ipOffset()).isEqualTo(-1);
        assertThat(headers.l4Offset()).isEqualTo(-1);
        assertThat(headers.endOffset()).isEqualTo(-1);
        assertThat(headers.l4()).isEqualTo(L4.NONE);
        assertThat(headers.l4Length()).isZero();
        assertThat(headers.headerBytes()).isZero();
        assertThat(headers.checksumOffset()).isEqualTo(-1);
        assertThat(headers.tcpFlags()).isZero();
    }

    /** Any length up to the whole, and any damage: every position stays inside, and all that works on it does. */
    @Test
    void noBytesLeadOutOfTheFrame() {
        long seed = Long.getLong("xenback.seed", System.nanoTime());
        System.out.println("repeat with ./dev test FrameHeadersTest -Dxenback.seed=" + seed);
        Random random = new Random(seed);
        RandomFrames frames = new RandomFrames(random);
        FrameHeaders headers = new FrameHeaders();
        Segmenter segmenter = new Segmenter();
        Toeplitz toeplitz = new Toeplitz();
        MemorySegment target = MemorySegment.ofArray(new byte[70_000]);
        for (int i = 0; i < 50_000; i++) {
            byte[] bytes = frames.next(600);
            int length = random.nextInt(4) == 0 ? random.nextInt(bytes.length + 1) : bytes.length;
            for (int damage = random.nextInt(4); damage > 0; damage--) {
                int reach = Math.min(bytes.length, 120);
                bytes[12 + random.nextInt(reach - 12)] = (byte) random.nextInt();
            }
            // Of exactly this length: one byte further and the access throws.
            MemorySegment frame = MemorySegment.ofArray(Arrays.copyOf(bytes, length));
            if (headers.parse(frame, 0, length)) {
                assertThat(headers.ipOffset()).isLessThan(length);
                assertThat(headers.l4Offset()).isLessThanOrEqualTo(headers.endOffset());
                assertThat(headers.endOffset()).isLessThanOrEqualTo(length);
                assertThat(headers.headerBytes()).isLessThanOrEqualTo(length);
                assertThat(headers.checksumOffset()).isLessThan(length);
                toeplitz.hash(frame, 0, headers, 15);
                Checksums.isRight(frame, 0, headers);
                Checksums.isIpv4HeaderRight(frame, 0, headers);
                Checksums.completeIpv4Header(frame, 0, headers);
                Checksums.preparePartial(frame, 0, headers);
                boolean completed = Checksums.complete(frame, 0, headers);
                assertThat(Checksums.isRight(frame, 0, headers) || !completed).isTrue();
                int segments = segmenter.begin(frame, 0, length, headers, 1 + random.nextInt(700));
                for (int n = 0; n < segments; n++) {
                    assertThat(segmenter.next(target, 0)).isPositive();
                }
                assertThat(segmenter.next(target, 0)).isZero();
            }
        }
    }
}
