package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

final class NbdExtentsTest {
    private final MemorySegment into = Arena.ofAuto().allocate(NbdExtents.REPLY_BYTES);

    /** A disk whose every other block of 512 bytes is a hole; told in extents of 512 bytes, or longer than asked. */
    private static MemoryDisk comb(boolean exaggerates) {
        return new MemoryDisk(512) {
            @Override
            public long nextExtent(long offsetBytes, long lengthBytes) {
                if (exaggerates) {
                    return Long.MAX_VALUE;
                }
                return offsetBytes / 512 % 2 == 0 ? 512 : -512;
            }
        };
    }

    @Test
    void stopsAtTheMostDescriptorsOfOneReply() {
        int count = NbdExtents.describe(comb(false), 0, 1L << 30, NbdExtents.MAX_DESCRIPTORS, into);
        assertThat(count).isEqualTo(NbdExtents.MAX_DESCRIPTORS);
        assertThat(into.get(NbdProtocol.U32, 8 * 1023)).isEqualTo(512);
        assertThat(into.get(NbdProtocol.U32, 8 * 1023 + 4)).isEqualTo(3);
    }

    @Test
    void neverDescribesMoreThanWasAsked() {
        assertThat(NbdExtents.describe(comb(true), 512, 4096, 1, into)).isEqualTo(1);
        assertThat(into.get(NbdProtocol.U32, 0)).isEqualTo(4096);
        assertThat(NbdExtents.describe(comb(true), 0, 0xFFFF_FE00L, 10, into)).isEqualTo(1);
        assertThat(into.get(NbdProtocol.U32, 0)).isEqualTo(0xFFFF_FE00);
    }

    @Test
    void asksBoundedNumberOfQuestions() {
        MemoryDisk crumbs = new MemoryDisk(512) {
            @Override
            public long nextExtent(long offsetBytes, long lengthBytes) {
                started.incrementAndGet();
                return 512;
            }
        };
        assertThat(NbdExtents.describe(crumbs, 0, 1L << 31, NbdExtents.MAX_DESCRIPTORS, into))
                .isEqualTo(1);
        assertThat(crumbs.started).hasValue(8192);
        assertThat(into.get(NbdProtocol.U32, 0)).isEqualTo(8192 * 512);
    }
}
