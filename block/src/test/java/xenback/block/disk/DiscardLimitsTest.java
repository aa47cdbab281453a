package xenback.block.disk;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What sysfs says of devices that not every machine has, in a directory that looks like sysfs. */
class DiscardLimitsTest {
    private static final long GIB = 1L << 30;

    @TempDir
    private Path device;

    @Test
    void takesTheUnitOfADeviceAndWhereItBegins() throws Exception {
        sysfs("4294966784", "65536", "32768");
        assertThat(DiscardLimits.ofDevice(device, 512)).isEqualTo(new DiscardLimits(true, 65536, 32768, false));
    }

    @Test
    void takesThePartitionsOwnBeginAndTheWholeDevicesUnit() throws Exception {
        sysfs("4294966784", "65536", "0");
        Path partition = Files.createDirectory(device.resolve("sda1"));
        Files.writeString(partition.resolve("discard_alignment"), "1024\n");
        assertThat(DiscardLimits.ofDevice(partition, 512)).isEqualTo(new DiscardLimits(true, 65536, 1024, false));
    }

    @Test
    void isNotPossibleWhereADeviceDoesNot() throws Exception {
        sysfs("0", "0", "0");
        assertThat(DiscardLimits.ofDevice(device, 4096)).isEqualTo(new DiscardLimits(false, 4096, 0, false));
    }

    @Test
    void isNotPossibleWithoutSysfs() {
        assertThat(DiscardLimits.ofDevice(device.resolve("nothing"), 512).possible())
                .isFalse();
    }

    /** A granularity of 0 is real (some stacked devices), as is an alignment of -1 (a misaligned stack). */
    @ParameterizedTest
    @CsvSource({
        "0, 0, 4096, 0",
        "512, 0, 4096, 0",
        "6000, 0, 4096, 0",
        "65536, -1, 65536, 0",
        "65536, 512, 65536, 0",
        "65536, 69632, 65536, 4096",
        "4294967295, 0, 4096, 0",
        "words, 0, 4096, 0"
    })
    void neverOffersWhatIsNoMultipleOfABlock(String granularity, String alignment, int unit, int begin)
            throws Exception {
        sysfs("4096", granularity, alignment);
        DiscardLimits limits = DiscardLimits.ofDevice(device, 4096);
        assertThat(limits.granularityBytes()).isEqualTo(unit);
        assertThat(limits.alignmentBytes()).isEqualTo(begin);
    }

    @ParameterizedTest
    @CsvSource({"0, 1073741824", "1, 1073741824", "1073741823, 1073741824", "1073741824, 2147483648"})
    void cutsPiecesAtMultiplesOfTheirSize(long offset, long end) {
        assertThat(new DiscardLimits(true, 4096, 0, false).pieceEnd(offset, GIB))
                .isEqualTo(end);
    }

    @Test
    void cutsNoUnitInTwo() {
        DiscardLimits limits = new DiscardLimits(true, 3 * 65536, 8192, false);
        long offset = 0;
        for (int piece = 0; piece < 5; piece++) {
            long end = limits.pieceEnd(offset, GIB);
            assertThat(end - offset).isPositive().isLessThanOrEqualTo(GIB);
            assertThat((end - 8192) % (3 * 65536)).isZero();
            offset = end;
        }
        assertThat(offset).as("few pieces").isGreaterThan(3 * GIB);
    }

    @Test
    void takesAUnitLargerThanAPieceAsOne() {
        assertThat(new DiscardLimits(true, 1 << 20, 0, false).pieceEnd(5, 4096)).isEqualTo(1 << 20);
    }

    private void sysfs(String maxBytes, String granularity, String alignment) throws IOException {
        Path queue = Files.createDirectory(device.resolve("queue"));
        Files.writeString(queue.resolve("discard_max_bytes"), maxBytes + "\n");
        Files.writeString(queue.resolve("discard_granularity"), granularity + "\n");
        Files.writeString(device.resolve("discard_alignment"), alignment + "\n");
    }
}
