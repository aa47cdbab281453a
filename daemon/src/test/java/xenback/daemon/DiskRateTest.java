package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

final class DiskRateTest {
    private static final long TWO_SECONDS = 2_000_000_000L;

    @Test
    void dividesWhatWentThroughByTheTime() {
        List<DiskRate> rates = DiskRate.between(
                List.of(counts("a", 10, 4096, 20, 512, 1)), List.of(counts("a", 30, 12288, 24, 1536, 7)), TWO_SECONDS);

        assertThat(rates).containsExactly(new DiskRate("xbd0", "a", 10, 4096, 2, 512, 7));
    }

    @Test
    void countsANewDiskFromZeroAndForgetsAGoneOne() {
        List<DiskRate> rates = DiskRate.between(
                List.of(counts("gone", 5, 5, 5, 5, 5)), List.of(counts("new", 2, 4, 6, 8, 0)), TWO_SECONDS);

        assertThat(rates).containsExactly(new DiskRate("xbd0", "new", 1, 2, 3, 4, 0));
    }

    @Test
    void countsADiskFromZeroThatWasAttachedAnew() {
        List<DiskRate> rates = DiskRate.between(
                List.of(counts("a", 100, 100, 100, 100, 0)), List.of(counts("a", 2, 4, 6, 8, 0)), TWO_SECONDS);

        assertThat(rates).containsExactly(new DiskRate("xbd0", "a", 1, 2, 3, 4, 0));
    }

    @Test
    void survivesAClockThatStands() {
        List<DiskRate> rates = DiskRate.between(List.of(), List.of(counts("a", 0, 0, 0, 0, 0)), 0);

        assertThat(rates).containsExactly(new DiskRate("xbd0", "a", 0, 0, 0, 0, 0));
    }

    private static DiskCounts counts(
            String interfaceName, long reads, long readBytes, long writes, long writtenBytes, int inFlight) {
        return new DiskCounts("xbd0", interfaceName, reads, readBytes, writes, writtenBytes, inFlight);
    }
}
