package xenback.net.packet;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Nothing of this package costs garbage, whatever the packet. */
class PacketAllocationTest {
    private static final int KINDS = 200;
    private static final int PACKETS = 20_000;

    /** Rounds until one is clean: interpreted code makes objects where compiled code makes none. */
    private static final int ROUNDS = 40;

    private static final double LIMIT_BYTES_PER_PACKET = 0.1;

    private final FrameHeaders headers = new FrameHeaders();
    private final Segmenter segmenter = new Segmenter();
    private final Toeplitz toeplitz = new Toeplitz();
    private final SourceFilter sources = SourceFilter.of(new Mac(0x00163E000001L), List.of("10.0.0.2", "fd00::2"))
            .orElseThrow();

    @Test
    void packetsAllocateNothing() {
        toeplitz.setKey(new byte[] {1, 2, 3, 4, 5, 6, 7, 8, 9});
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment[] frames = frames(arena);
            MemorySegment target = arena.allocate(2000);
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            List<Double> rounds = new ArrayList<>();
            boolean clean = false;
            while (!clean && rounds.size() < ROUNDS) {
                long before = threads.getCurrentThreadAllocatedBytes();
                for (int i = 0; i < PACKETS; i++) {
                    handle(frames[i % KINDS], target);
                }
                double bytes = (threads.getCurrentThreadAllocatedBytes() - before) / (double) PACKETS;
                rounds.add(bytes);
                clean = bytes < LIMIT_BYTES_PER_PACKET;
            }

            assertThat(clean).as("bytes per packet, round by round: %s", rounds).isTrue();
        }
    }

    private static MemorySegment[] frames(Arena arena) {
        RandomFrames random = new RandomFrames(new Random(1));
        MemorySegment[] frames = new MemorySegment[KINDS];
        for (int i = 0; i < KINDS; i++) {
            byte[] bytes = random.next(1000);
            System.arraycopy(new byte[] {0, 0x16, 0x3E, 0, 0, 1}, 0, bytes, 6, 6);
            frames[i] = arena.allocate(bytes.length).copyFrom(MemorySegment.ofArray(bytes));
        }
        return frames;
    }

    private void handle(MemorySegment frame, MemorySegment target) {
        int length = (int) frame.byteSize();
        headers.parse(frame, 0, length);
        toeplitz.hash(frame, 0, headers, 15);
        sources.permits(frame, 0, length, headers);
        Checksums.preparePartial(frame, 0, headers);
        Checksums.complete(frame, 0, headers);
        Checksums.completeIpv4Header(frame, 0, headers);
        Checksums.isRight(frame, 0, headers);
        segmenter.begin(frame, 0, length, headers, 300);
        while (segmenter.next(target, 0) != 0) {
            // Only made.
        }
    }
}
