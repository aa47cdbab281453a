package xenback.xen.ring;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RingLayoutTest {
    /** The sizes of io/ring.h's __RING_SIZE for the two sizes of a blkif slot: 32 for each page, in either ABI. */
    @ParameterizedTest
    @CsvSource({"1, 32", "2, 64", "4, 128", "8, 256", "16, 512", "32, 1024"})
    void roundsSlotsDownToAPowerOfTwo(int pages, int slots) {
        assertThat(RingLayout.slots(pages, 112)).isEqualTo(slots);
        assertThat(RingLayout.slots(pages, 108)).isEqualTo(slots);
    }

    @ParameterizedTest
    @CsvSource({"12, 256", "8, 256", "4032, 1", "2016, 2", "2017, 1", "1344, 2", "63, 64", "64, 32"})
    void leavesRoomForTheHeader(int slotBytes, int slots) {
        assertThat(RingLayout.slots(1, slotBytes)).isEqualTo(slots);
        assertThat(RingLayout.SLOTS + (long) slots * slotBytes).isLessThanOrEqualTo(RingLayout.PAGE_BYTES);
        assertThat(RingLayout.SLOTS + 2L * slots * slotBytes).isGreaterThan(RingLayout.PAGE_BYTES);
    }
}
