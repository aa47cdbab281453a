package xenback.net.packet;

import static xenback.fuzz.FuzzTarget.require;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;

/**
 * Any frame: whatever its headers claim, nothing beyond its end is read or written; a checksum that is filled in is right; what has
 * none stays as it is; segments are right and together the frame's payload; neither a hash nor the filter
 * of sources looks further.
 */
public final class FrameTarget implements FuzzTarget {
    private static final int MOST_BYTES = 4096;
    private static final int MOST_SEGMENTS = 64;

    /** Headers of honest frames to begin with, as far as the input does not choose otherwise. */
    private static final String[] SEEDS = {
        "00163e23500b001630000000080045000024000400004011e56bc0a80a04c0a80a0551ae08ae0010dde2467265654253440a",
        "00163e23500b00163000000008004500003c000840004006a55ac0a80a04c0a80a059cd908ae00f72b107f37ba6c801804102f640000"
                + "0101080a000081dfce18207f467265654253440a",
        "00163e23500b00163000000086dd6000000000380040fd00000000000000000000000000000afd00000000000000000000000000000b"
                + "3c0005020000010006000104000000009cd908ae00f72b107f37ba6c80180410caa700000101080a000081dfce18207f4672",
        "00163e23500b00163000000088a800018100006486dd6000000000101140fd00000000000000000000000000000afd000000000000000"
                + "00000000000000b51ae08ae00107926467265654253440a"
    };

    private final FrameHeaders headers = new FrameHeaders();
    private final FrameHeaders parsed = new FrameHeaders();
    private final Segmenter segmenter = new Segmenter();
    private final Toeplitz toeplitz = new Toeplitz();
    private final SourceFilter sources = SourceFilter.of(new Mac(0x001630000000L), List.of("192.168.10.4", "fd00::a"))
            .orElseThrow();

    @Override
    public void run(FuzzInput in) {
        byte[] bytes = frame(in);
        int mss = in.pick(536, 1, 2, 88, 1448, 65535);
        // As large as the frame, so that whoever looks further is caught.
        MemorySegment frame = fresh(bytes);
        boolean whole = headers.parse(frame, 0, bytes.length);
        require(whole == bytes.length >= 14, "a frame of " + bytes.length + " bytes");
        checkPlaces(bytes.length);
        toeplitz.hash(frame, 0, headers, 15);
        sources.permits(frame, 0, bytes.length, parsed);
        checkChecksums(bytes);
        checkSegments(bytes, mss);
    }

    private static byte[] frame(FuzzInput in) {
        String seed = SEEDS[in.below(SEEDS.length)];
        byte[] bytes = HexFormat.of().parseHex(seed.substring(0, seed.length() & -2));
        int length = in.rarely() ? in.below(MOST_BYTES) : bytes.length + in.below(64);
        bytes = Arrays.copyOf(bytes, length);
        while (in.more() && length > 0) { // a few octets anywhere, most of them in the headers
            int at = in.rarely() ? in.below(length) : in.below(Math.min(length, 90));
            bytes[at] = (byte) in.u8();
        }
        return bytes;
    }

    private static MemorySegment fresh(byte[] bytes) {
        return MemorySegment.ofArray(bytes.clone());
    }

    private void checkPlaces(int length) {
        require(headers.ipVersion() == 0 || headers.endOffset() <= length, "an end beyond the frame");
        require(headers.headerBytes() <= length, "headers beyond the frame");
        require(headers.checksumOffset() < length, "a checksum beyond the frame");
        require(headers.vlanTags() <= FrameHeaders.MAX_TAGS, headers.vlanTags() + " tags");
    }

    private void checkChecksums(byte[] bytes) {
        MemorySegment frame = fresh(bytes);
        headers.parse(frame, 0, bytes.length);
        boolean done = Checksums.complete(frame, 0, headers);
        if (done) {
            require(Checksums.isRight(frame, 0, headers), "a checksum that was filled in is wrong");
        } else {
            require(frame.mismatch(MemorySegment.ofArray(bytes)) < 0, "a frame without checksum was changed");
        }
        MemorySegment partial = fresh(bytes);
        headers.parse(partial, 0, bytes.length);
        if (Checksums.preparePartial(partial, 0, headers)) {
            require(done, "a partial checksum where there is none");
            require(headers.l4Offset() < headers.checksumOffset(), "a checksum in front of what it covers");
        } else {
            require(partial.mismatch(MemorySegment.ofArray(bytes)) < 0, "a frame without partial checksum was changed");
        }
        Checksums.completeIpv4Header(partial, 0, headers);
        require(
                Checksums.isIpv4HeaderRight(partial, 0, headers),
                "an IPv4 header's checksum that was filled in is wrong");
    }

    private void checkSegments(byte[] bytes, int mss) {
        MemorySegment frame = fresh(bytes);
        headers.parse(frame, 0, bytes.length);
        int count = segmenter.begin(frame, 0, bytes.length, headers, mss);
        if (count == 0 || count > MOST_SEGMENTS) {
            return;
        }
        int payload = headers.endOffset() - headers.headerBytes();
        int sum = 0;
        for (int i = 0; i < count; i++) {
            MemorySegment segment = MemorySegment.ofArray(new byte[headers.headerBytes() + Math.min(mss, payload)]);
            int length = segmenter.next(segment, 0);
            require(length > 0 && length <= segment.byteSize(), "a segment of " + length + " bytes");
            parsed.parse(segment, 0, length);
            require(Checksums.isRight(segment, 0, parsed), "a segment with a wrong checksum");
            require(Checksums.isIpv4HeaderRight(segment, 0, parsed), "a segment with a wrong IPv4 header");
            int part = length - headers.headerBytes();
            byte[] expected =
                    Arrays.copyOfRange(bytes, headers.headerBytes() + sum, headers.headerBytes() + sum + part);
            byte[] found = segment.asSlice(headers.headerBytes(), part).toArray(ValueLayout.JAVA_BYTE);
            require(Arrays.equals(expected, found), "a segment with other bytes");
            sum += part;
        }
        require(sum == payload, sum + " bytes in segments, not " + payload);
        require(segmenter.next(MemorySegment.ofArray(new byte[1]), 0) == 0, "a segment after the last");
    }
}
