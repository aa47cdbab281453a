package xenback.net.packet;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Random frames of every shape, completed by us and judged by tshark. */
class ChecksumsOracleTest {
    private static final int FRAMES = 20_000;
    private static final int MAX_PAYLOAD = 1300;
    private static final int IPV4_COLUMN = 0;

    @TempDir
    private Path dir;

    private final FrameHeaders headers = new FrameHeaders();

    @Test
    void tsharkFindsEveryCompletedChecksumRight() throws Exception {
        RandomFrames frames = new RandomFrames(seeded());
        Tshark tshark = new Tshark(dir.resolve("completed.pcap"));
        List<byte[]> sent = new ArrayList<>();
        List<Integer> columns = new ArrayList<>();
        while (sent.size() < FRAMES) {
            byte[] bytes = frames.next(MAX_PAYLOAD);
            byte[] before = bytes.clone();
            MemorySegment frame = MemorySegment.ofArray(bytes);
            headers.parse(frame, 0, bytes.length);
            boolean completed = Checksums.complete(frame, 0, headers);
            boolean possible = !frames.isFragment() && frames.protocol() != 1;
            assertThat(completed).as(HexFormat.of().formatHex(before)).isEqualTo(possible);
            if (!completed) {
                assertThat(bytes).isEqualTo(before);
            }
            Checksums.completeIpv4Header(frame, 0, headers);
            sent.add(bytes);
            columns.add(completed ? Tshark.column(frames.protocol()) : -1);
            tshark.add(bytes);
        }

        List<String[]> rows = tshark.read();

        assertThat(rows).hasSize(FRAMES);
        for (int i = 0; i < FRAMES; i++) {
            String[] row = rows.get(i);
            String name = "frame " + i + " " + HexFormat.of().formatHex(sent.get(i));
            assertThat(row[IPV4_COLUMN]).as(name).isIn("", Tshark.GOOD);
            if (columns.get(i) >= 0) {
                assertThat(row[columns.get(i)]).as(name).isEqualTo(Tshark.GOOD);
            }
        }
    }

    /** Half of the frames have one bit of their transport flipped, and half of the rest one of the IPv4 header's checksum. */
    @Test
    void tsharkFindsWrongWhatWeFindWrong() throws Exception {
        Random random = seeded();
        RandomFrames frames = new RandomFrames(random);
        Tshark tshark = new Tshark(dir.resolve("damaged.pcap"));
        List<byte[]> sent = new ArrayList<>();
        List<Integer> columns = new ArrayList<>();
        List<Boolean> expected = new ArrayList<>();
        List<Boolean> ipv4Expected = new ArrayList<>();
        int wrong = 0;
        while (sent.size() < FRAMES) {
            byte[] bytes = frames.next(MAX_PAYLOAD);
            MemorySegment frame = MemorySegment.ofArray(bytes);
            headers.parse(frame, 0, bytes.length);
            if (frames.isFragment()) {
                continue;
            }
            Checksums.complete(frame, 0, headers);
            Checksums.completeIpv4Header(frame, 0, headers);
            if (random.nextBoolean()) {
                // In the checksum or in the payload, so that the shape stays.
                int covered = headers.l4Length() - headers.headerBytes() + headers.l4Offset();
                int at = frames.protocol() == 6 || frames.protocol() == 17
                        ? covered == 0 || random.nextBoolean()
                                ? headers.checksumOffset() + random.nextInt(2)
                                : headers.headerBytes() + random.nextInt(covered)
                        : headers.checksumOffset() + random.nextInt(2);
                bytes[at] ^= (byte) (1 << random.nextInt(8));
            } else if (headers.ipVersion() == 4 && random.nextBoolean()) {
                bytes[headers.ipOffset() + 10] ^= (byte) (1 << random.nextInt(8));
            }
            if (frames.protocol() == 17 && FrameHeaders.u16(frame, headers.checksumOffset()) == 0) {
                continue; // not wrong, but absent
            }
            boolean right = Checksums.isRight(frame, 0, headers);
            wrong += right ? 0 : 1;
            expected.add(right);
            ipv4Expected.add(Checksums.isIpv4HeaderRight(frame, 0, headers));
            sent.add(bytes);
            columns.add(Tshark.column(frames.protocol()));
            tshark.add(bytes);
        }

        List<String[]> rows = tshark.read();

        assertThat(wrong).isBetween(FRAMES / 3, FRAMES * 2 / 3);
        for (int i = 0; i < FRAMES; i++) {
            String[] row = rows.get(i);
            String name = "frame " + i + " " + HexFormat.of().formatHex(sent.get(i));
            assertThat(row[columns.get(i)]).as(name).isEqualTo(expected.get(i) ? Tshark.GOOD : Tshark.BAD);
            if (!row[IPV4_COLUMN].isEmpty()) {
                assertThat(row[IPV4_COLUMN]).as(name).isEqualTo(ipv4Expected.get(i) ? Tshark.GOOD : Tshark.BAD);
            } else {
                assertThat(ipv4Expected.get(i)).as(name).isTrue();
            }
        }
    }

    private static Random seeded() {
        long seed = Long.getLong("xenback.seed", System.nanoTime());
        System.out.println("repeat with ./dev test ChecksumsOracleTest -Dxenback.seed=" + seed);
        return new Random(seed);
    }
}
