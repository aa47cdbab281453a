package xenback.net.packet;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What Linux makes of partial checksums and of large frames is, byte for byte, what we make of them. */
class LinuxOracleTest {
    private static final int PARTIAL_FRAMES = 3000;
    private static final int LARGE_FRAMES = 300;
    private static final int NEEDS_CSUM = 1;
    private static final int GSO_TCPV4 = 1;
    private static final int GSO_TCPV6 = 4;

    @TempDir
    private Path dir;

    private final FrameHeaders headers = new FrameHeaders();

    @Test
    void linuxFinishesPartialChecksumsAsWeDo() throws Exception {
        RandomFrames frames = new RandomFrames(seeded());
        try (LinuxBridge linux = new LinuxBridge(dir)) {
            for (int done = 0; done < PARTIAL_FRAMES; ) {
                byte[] bytes = frames.next(1300);
                MemorySegment frame = MemorySegment.ofArray(bytes);
                headers.parse(frame, 0, bytes.length);
                if (!Checksums.preparePartial(frame, 0, headers)) {
                    continue;
                }
                Checksums.completeIpv4Header(frame, 0, headers);
                List<byte[]> out = linux.forward(partial(bytes, 0, 0));
                Checksums.complete(frame, 0, headers);

                assertThat(out).as(HexFormat.of().formatHex(bytes)).hasSize(1);
                assertSame(out.getFirst(), bytes);
                done++;
            }
        }
    }

    @Test
    void linuxCutsLargeFramesAsWeDo() throws Exception {
        Random random = seeded();
        RandomFrames frames = new RandomFrames(random);
        Segmenter segmenter = new Segmenter();
        byte[] target = new byte[70_000];
        MemorySegment segment = MemorySegment.ofArray(target);
        try (LinuxBridge linux = new LinuxBridge(dir)) {
            for (int i = 0; i < LARGE_FRAMES; i++) {
                int mss = 200 + random.nextInt(random.nextBoolean() ? 2000 : 10_000);
                byte[] bytes = frames.nextLargeTcp(mss + 1 + random.nextInt(64_000 - mss));
                MemorySegment frame = MemorySegment.ofArray(bytes);
                headers.parse(frame, 0, bytes.length);
                assertThat(Checksums.preparePartial(frame, 0, headers)).isTrue();
                Checksums.completeIpv4Header(frame, 0, headers);
                int type = headers.ipVersion() == 4 ? GSO_TCPV4 : GSO_TCPV6;

                List<byte[]> out = linux.forward(partial(bytes, type, mss));

                String name = "MSS " + mss + " " + HexFormat.of().formatHex(bytes, 0, headers.headerBytes());
                int segments = segmenter.begin(frame, 0, bytes.length, headers, mss);
                assertThat(out).as(name).hasSize(segments);
                for (byte[] theirs : out) {
                    int length = segmenter.next(segment, 0);
                    headers.parse(segment, 0, length);
                    assertSame(theirs, Arrays.copyOf(target, length));
                }
                assertThat(segmenter.next(segment, 0)).isZero();
            }
        }
    }

    /** The frame with the virtio_net_hdr that asks for the rest of the work. */
    private byte[] partial(byte[] frame, int gsoType, int mss) {
        ByteBuffer bytes =
                ByteBuffer.allocate(LinuxBridge.HEADER_BYTES + frame.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.put((byte) NEEDS_CSUM).put((byte) gsoType);
        bytes.putShort((short) headers.headerBytes()).putShort((short) mss);
        bytes.putShort((short) headers.l4Offset());
        bytes.putShort((short) (headers.checksumOffset() - headers.l4Offset()));
        return bytes.put(frame).array();
    }

    /** Equal, but that Linux stores 0xffff where the sum of TCP is 0, which is the same number. */
    private void assertSame(byte[] theirsWithHeader, byte[] ours) {
        assertThat(theirsWithHeader[0]).as("flags: nothing is left to do").isZero();
        byte[] theirs = Arrays.copyOfRange(theirsWithHeader, LinuxBridge.HEADER_BYTES, theirsWithHeader.length);
        assertThat(HexFormat.of().formatHex(withOneZero(theirs)))
                .isEqualTo(HexFormat.of().formatHex(withOneZero(ours)));
    }

    private byte[] withOneZero(byte[] frame) {
        byte[] same = frame.clone();
        int at = headers.checksumOffset();
        if (headers.protocol() == 6 && same[at] == -1 && same[at + 1] == -1) {
            same[at] = 0;
            same[at + 1] = 0;
        }
        return same;
    }

    private static Random seeded() {
        long seed = Long.getLong("xenback.seed", System.nanoTime());
        System.out.println("repeat with ./dev test LinuxOracleTest -Dxenback.seed=" + seed);
        return new Random(seed);
    }
}
