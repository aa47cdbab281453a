package xenback.block.protocol;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The structs of io/blkif.h, declared as C declares them and laid out by the rules of each ABI, as witness of the constants
 * in {@link BlkifLayout}: i386 aligns a 64-bit field to 4 bytes, all others to 8.
 */
class BlkifLayoutTest {
    private static final MemoryLayout SEGMENT = struct(
            8,
            ValueLayout.JAVA_INT.withName("gref"),
            ValueLayout.JAVA_BYTE.withName("first_sect"),
            ValueLayout.JAVA_BYTE.withName("last_sect"));

    private static StructLayout request(long wordAlignment) {
        return struct(
                wordAlignment,
                ValueLayout.JAVA_BYTE.withName("operation"),
                ValueLayout.JAVA_BYTE.withName("nr_segments"),
                ValueLayout.JAVA_SHORT.withName("handle"),
                ValueLayout.JAVA_LONG.withName("id"),
                ValueLayout.JAVA_LONG.withName("sector_number"),
                MemoryLayout.sequenceLayout(11, SEGMENT).withName("seg"));
    }

    private static StructLayout discard(long wordAlignment) {
        return struct(
                wordAlignment,
                ValueLayout.JAVA_BYTE.withName("operation"),
                ValueLayout.JAVA_BYTE.withName("flag"),
                ValueLayout.JAVA_SHORT.withName("handle"),
                ValueLayout.JAVA_LONG.withName("id"),
                ValueLayout.JAVA_LONG.withName("sector_number"),
                ValueLayout.JAVA_LONG.withName("nr_sectors"));
    }

    private static StructLayout indirect(long wordAlignment) {
        return struct(
                wordAlignment,
                ValueLayout.JAVA_BYTE.withName("operation"),
                ValueLayout.JAVA_BYTE.withName("indirect_op"),
                ValueLayout.JAVA_SHORT.withName("nr_segments"),
                ValueLayout.JAVA_LONG.withName("id"),
                ValueLayout.JAVA_LONG.withName("sector_number"),
                ValueLayout.JAVA_SHORT.withName("handle"),
                MemoryLayout.sequenceLayout(8, ValueLayout.JAVA_INT).withName("indirect_grefs"));
    }

    private static StructLayout response(long wordAlignment) {
        return struct(
                wordAlignment,
                ValueLayout.JAVA_LONG.withName("id"),
                ValueLayout.JAVA_BYTE.withName("operation"),
                ValueLayout.JAVA_SHORT.withName("status"));
    }

    /** Lays members out as a C compiler does for which 64-bit words have the given alignment. */
    private static StructLayout struct(long wordAlignment, MemoryLayout... members) {
        java.util.List<MemoryLayout> all = new java.util.ArrayList<>();
        long offset = 0;
        long alignment = 1;
        for (MemoryLayout member : members) {
            MemoryLayout aligned = member.withByteAlignment(Math.min(wordAlignment, member.byteAlignment()));
            long padding = -offset & aligned.byteAlignment() - 1;
            if (padding > 0) {
                all.add(MemoryLayout.paddingLayout(padding));
            }
            all.add(aligned);
            offset += padding + aligned.byteSize();
            alignment = Math.max(alignment, aligned.byteAlignment());
        }
        long tail = -offset & alignment - 1;
        if (tail > 0) {
            all.add(MemoryLayout.paddingLayout(tail));
        }
        return MemoryLayout.structLayout(all.toArray(MemoryLayout[]::new));
    }

    private static long at(StructLayout struct, String field) {
        return struct.byteOffset(groupElement(field));
    }

    @ParameterizedTest
    @EnumSource(Abi.class)
    void placesEveryFieldWhereTheCompilerOfThatAbiDoes(Abi abi) {
        long wordAlignment = abi == Abi.X86_32 ? 4 : 8;
        StructLayout request = request(wordAlignment);
        StructLayout response = response(wordAlignment);
        BlkifLayout layout = abi.layout();

        assertThat(BlkifLayout.OPERATION_AT).isEqualTo(at(request, "operation"));
        assertThat(BlkifLayout.SEGMENT_COUNT_AT).isEqualTo(at(request, "nr_segments"));
        assertThat(BlkifLayout.HANDLE_AT).isEqualTo(at(request, "handle"));
        assertThat(layout.idAt()).isEqualTo(at(request, "id"));
        assertThat(layout.sectorNumberAt()).isEqualTo(at(request, "sector_number"));
        assertThat(layout.segmentsAt()).isEqualTo(at(request, "seg"));
        assertThat(layout.requestBytes()).isEqualTo((int) request.byteSize());

        StructLayout discard = discard(wordAlignment);
        assertThat(BlkifLayout.DISCARD_FLAG_AT).isEqualTo(at(discard, "flag"));
        assertThat(layout.idAt()).isEqualTo(at(discard, "id"));
        assertThat(layout.sectorNumberAt()).isEqualTo(at(discard, "sector_number"));
        assertThat(layout.discardSectorsAt()).isEqualTo(at(discard, "nr_sectors"));

        StructLayout indirect = indirect(wordAlignment);
        assertThat(BlkifLayout.INDIRECT_OPERATION_AT).isEqualTo(at(indirect, "indirect_op"));
        assertThat(BlkifLayout.INDIRECT_COUNT_AT).isEqualTo(at(indirect, "nr_segments"));
        assertThat(layout.idAt()).isEqualTo(at(indirect, "id"));
        assertThat(layout.sectorNumberAt()).isEqualTo(at(indirect, "sector_number"));
        assertThat(layout.indirectHandleAt()).isEqualTo(at(indirect, "handle"));
        assertThat(layout.indirectGrefsAt()).isEqualTo(at(indirect, "indirect_grefs"));
        assertThat(indirect.byteSize()).isLessThanOrEqualTo(layout.requestBytes());

        assertThat(BlkifLayout.RESPONSE_ID_AT).isEqualTo(at(response, "id"));
        assertThat(BlkifLayout.RESPONSE_OPERATION_AT).isEqualTo(at(response, "operation"));
        assertThat(BlkifLayout.RESPONSE_STATUS_AT).isEqualTo(at(response, "status"));
        assertThat(layout.responseBytes()).isEqualTo((int) response.byteSize());
        assertThat(layout.responseBytes()).isLessThan(layout.requestBytes());
    }

    @Test
    void placesTheFieldsOfASegment() {
        StructLayout segment = (StructLayout) SEGMENT;
        assertThat(BlkifLayout.SEGMENT_GREF_AT).isEqualTo(at(segment, "gref"));
        assertThat(BlkifLayout.SEGMENT_FIRST_AT).isEqualTo(at(segment, "first_sect"));
        assertThat(BlkifLayout.SEGMENT_LAST_AT).isEqualTo(at(segment, "last_sect"));
        assertThat(BlkifLayout.SEGMENT_BYTES).isEqualTo(segment.byteSize());
    }

    /** The sums of the table in blkif's documentation, so that witness and constants cannot be wrong together. */
    @Test
    void hasTheKnownSizes() {
        assertThat(Abi.X86_32.layout().requestBytes()).isEqualTo(108);
        assertThat(Abi.X86_32.layout().responseBytes()).isEqualTo(12);
        assertThat(Abi.X86_64.layout().requestBytes()).isEqualTo(112);
        assertThat(Abi.X86_64.layout().responseBytes()).isEqualTo(16);
        assertThat(Abi.NATIVE.layout()).isEqualTo(Abi.X86_64.layout());
    }

    @Test
    void knowsItsAbisByNameAndAssumesThe32BitOne() {
        assertThat(Abi.of("x86_32-abi")).hasValue(Abi.X86_32);
        assertThat(Abi.of("x86_64-abi")).hasValue(Abi.X86_64);
        assertThat(Abi.of(Abi.NATIVE.wireName()).map(Abi::layout)).hasValue(Abi.NATIVE.layout());
        for (String unknown : new String[] {"", "x86_64-abi ", "X86_64-ABI", "x86_64", "riscv-abi", "x86_32-abi\0"}) {
            assertThat(Abi.of(unknown)).as(unknown).isEmpty();
        }
        assertThat(Abi.assumed().layout().requestBytes())
                .isEqualTo(Abi.NATIVE.wireName().startsWith("x86") ? 108 : 112);
    }
}
