package xenback.net.packet;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

/** How a large frame is cut; LinuxOracleTest has it against Linux. */
class SegmenterTest {
    private final Segmenter segmenter = new Segmenter();
    private final MemorySegment target = MemorySegment.ofArray(new byte[2000]);

    /** XNB_TCP has 8 bytes of payload. */
    @Test
    void cutsByMss() {
        MemorySegment frame = Frames.of(Frames.XNB_TCP);

        assertThat(segmenter.begin(frame, 0, 74, Frames.parse(frame), 3)).isEqualTo(3);

        assertThat(segmenter.next(target, 0)).isEqualTo(69);
        assertThat(Frames.hex(target.asSlice(66, 3))).isEqualTo("467265");
        assertThat(segmenter.next(target, 0)).isEqualTo(69);
        assertThat(Frames.hex(target.asSlice(66, 3))).isEqualTo("654253");
        assertThat(segmenter.next(target, 0)).isEqualTo(68);
        assertThat(Frames.hex(target.asSlice(66, 2))).isEqualTo("440a");
        assertThat(segmenter.next(target, 0)).isZero();
        assertThat(segmenter.next(target, 0)).isZero();
    }

    @Test
    void eachSegmentHasItsOwnHeaders() {
        MemorySegment frame = Frames.of(Frames.XNB_TCP);
        Frames.put16(frame, 18, 0xFFFF); // identification
        Frames.put16(frame, 38, 0xFFFF); // sequence number ffffffff
        Frames.put16(frame, 40, 0xFFFF);
        frame.set(FrameHeaders.BYTE, 47, (byte) 0x99); // CWR, ACK, PSH, FIN
        segmenter.begin(frame, 0, 74, Frames.parse(frame), 3);

        assertSegment(55, 0xFFFF, 0xFFFF_FFFF, 0x90);
        assertSegment(55, 0x0000, 2, 0x10);
        assertSegment(54, 0x0001, 5, 0x19);
    }

    private void assertSegment(int ipBytes, int identification, int sequence, int flags) {
        int length = segmenter.next(target, 100);
        FrameHeaders headers = new FrameHeaders();
        headers.parse(target, 100, length);

        assertThat(FrameHeaders.u16(target, 116)).as("total length").isEqualTo(ipBytes);
        assertThat(FrameHeaders.u16(target, 118)).as("identification").isEqualTo(identification);
        assertThat(target.get(FrameHeaders.INT, 138)).as("sequence number").isEqualTo(sequence);
        assertThat(headers.tcpFlags()).as("flags").isEqualTo(flags);
        assertThat(Checksums.isIpv4HeaderRight(target, 100, headers)).isTrue();
        assertThat(Checksums.isRight(target, 100, headers)).isTrue();
    }

    @Test
    void frameOfOneSegmentStaysAsItIs() {
        MemorySegment frame = Frames.of(Frames.XNB_TCP);

        assertThat(segmenter.begin(frame, 0, 74, Frames.parse(frame), 8)).isEqualTo(1);
        assertThat(segmenter.next(target, 0)).isEqualTo(74);
        assertThat(segmenter.next(target, 0)).isZero();

        assertThat(Frames.hex(target.asSlice(0, 74))).isEqualTo(Frames.XNB_TCP);
    }

    @Test
    void frameWithoutPayloadIsOneSegment() {
        MemorySegment frame = Frames.of(Frames.XNB_TCP).asSlice(0, 66);
        Frames.put16(frame, 16, 52);

        assertThat(segmenter.begin(frame, 0, 66, Frames.parse(frame), 1)).isEqualTo(1);
        assertThat(segmenter.next(target, 0)).isEqualTo(66);
        assertThat(segmenter.next(target, 0)).isZero();
    }

    @Test
    void totalLengthOfZeroMeansUpToTheEnd() {
        MemorySegment frame = Frames.of(Frames.XNB_TCP);
        Frames.put16(frame, 16, 0);

        assertThat(segmenter.begin(frame, 0, 74, Frames.parse(frame), 1460)).isEqualTo(1);
        segmenter.next(target, 0);

        assertThat(Frames.hex(target.asSlice(0, 74))).isEqualTo(Frames.XNB_TCP);
    }

    @Test
    void cutsNothingButWholeTcp() {
        assertUncut(Frames.XNB_UDP, 100);
        assertUncut(Frames.XNB_TCP, 0);
        assertUncut(Frames.XNB_TCP, -1);
        assertUncut(Frames.XNB_TCP.substring(0, 2 * 73), 100);
        assertUncut(Frames.XNB_TCP.replace("00084000", "00082000"), 100); // a fragment
        assertUncut(Frames.XNB_TCP.replace("7f37ba6c80", "7f37ba6c40"), 100); // data offset 4
        assertUncut(Frames.XNB_TCP.replace("7f37ba6c80", "7f37ba6cf0"), 100); // data offset beyond the end
    }

    private void assertUncut(String hex, int mss) {
        MemorySegment frame = Frames.of(hex);

        assertThat(segmenter.begin(frame, 0, (int) frame.byteSize(), Frames.parse(frame), mss))
                .isZero();
        assertThat(segmenter.next(target, 0)).isZero();
    }
}
