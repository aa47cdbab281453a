package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.block.nbd.NbdProtocol.CMD_BLOCK_STATUS;
import static xenback.block.nbd.NbdProtocol.CMD_FLUSH;
import static xenback.block.nbd.NbdProtocol.CMD_READ;
import static xenback.block.nbd.NbdProtocol.CMD_TRIM;
import static xenback.block.nbd.NbdProtocol.CMD_WRITE;
import static xenback.block.nbd.NbdProtocol.CMD_WRITE_ZEROES;
import static xenback.block.nbd.NbdProtocol.EINVAL;
import static xenback.block.nbd.NbdProtocol.ENOSPC;
import static xenback.block.nbd.NbdProtocol.EOVERFLOW;
import static xenback.block.nbd.NbdProtocol.EPERM;
import static xenback.block.nbd.NbdProtocol.OK;

import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** The table of requests that are let through and refused. */
final class NbdRulesTest {
    private static final long SIZE = 1L << 40;
    private static final long MAX = NbdProtocol.MAX_PAYLOAD_BYTES;
    private static final int ALL = NbdProtocol.SEND_HAS_FLAGS
            | NbdProtocol.SEND_FLUSH
            | NbdProtocol.SEND_FUA
            | NbdProtocol.SEND_TRIM
            | NbdProtocol.SEND_WRITE_ZEROES
            | NbdProtocol.SEND_DF;
    private static final int NOTHING = NbdProtocol.SEND_HAS_FLAGS;
    private static final int READ_ONLY = NbdProtocol.SEND_HAS_FLAGS | NbdProtocol.SEND_READ_ONLY;

    record Case(int offered, int flags, int command, long offset, long length, int error) {}

    static final List<Case> CASES = List.of(
            new Case(ALL, 0, CMD_READ, 0, 512, OK),
            new Case(ALL, 0, CMD_READ, SIZE - 512, 512, OK),
            new Case(ALL, 0, CMD_READ, SIZE, 0, OK),
            new Case(ALL, 0, CMD_READ, SIZE - 512, 1024, EINVAL),
            new Case(ALL, 0, CMD_READ, SIZE, 512, EINVAL),
            new Case(ALL, 0, CMD_READ, Long.MIN_VALUE, 512, EINVAL),
            new Case(ALL, 0, CMD_READ, Long.MAX_VALUE, 512, EINVAL),
            new Case(ALL, 0, CMD_READ, 511, 512, EINVAL),
            new Case(ALL, 0, CMD_READ, 512, 511, EINVAL),
            new Case(ALL, 0, CMD_READ, 0, MAX, OK),
            new Case(ALL, 0, CMD_READ, 0, MAX + 512, EINVAL),
            new Case(ALL, 4, CMD_READ, 0, MAX + 512, EOVERFLOW),
            new Case(ALL, 4, CMD_READ, 0, 512, OK),
            new Case(NOTHING, 4, CMD_READ, 0, 512, EINVAL),
            new Case(ALL, 1, CMD_READ, 0, 512, OK),
            new Case(NOTHING, 1, CMD_READ, 0, 512, EINVAL),
            new Case(ALL, 1, CMD_WRITE, 0, 512, OK),
            new Case(NOTHING, 0, CMD_WRITE, 0, 512, OK),
            new Case(NOTHING, 1, CMD_WRITE, 0, 512, EINVAL),
            new Case(ALL, 2, CMD_WRITE, 0, 512, EINVAL),
            new Case(ALL, 0, CMD_WRITE, SIZE, 512, ENOSPC),
            new Case(ALL, 0, CMD_WRITE, -512, 512, ENOSPC),
            new Case(ALL, 0, CMD_WRITE, 0, 0xFFFF_FE00L, EINVAL),
            new Case(READ_ONLY, 0, CMD_WRITE, 0, 512, EPERM),
            new Case(READ_ONLY, 0, CMD_TRIM, 0, 512, EPERM),
            new Case(READ_ONLY, 0, CMD_WRITE_ZEROES, 0, 512, EPERM),
            new Case(READ_ONLY, 0, CMD_READ, 0, 512, OK),
            new Case(ALL, 0, CMD_FLUSH, 0, 0, OK),
            new Case(ALL, 1, CMD_FLUSH, 0, 0, OK),
            new Case(ALL, 0, CMD_FLUSH, 0, 512, EINVAL),
            new Case(NOTHING, 0, CMD_FLUSH, 0, 0, EINVAL),
            new Case(ALL, 0, CMD_TRIM, 0, 0xFFFF_FE00L, OK),
            new Case(ALL, 0, CMD_TRIM, SIZE, 512, EINVAL),
            new Case(NOTHING, 0, CMD_TRIM, 0, 512, EINVAL),
            new Case(ALL, 2, CMD_WRITE_ZEROES, 0, 0xFFFF_FE00L, OK),
            new Case(ALL, 0, CMD_WRITE_ZEROES, SIZE, 512, ENOSPC),
            new Case(ALL, 16, CMD_WRITE_ZEROES, 0, 512, EINVAL),
            new Case(NOTHING, 0, CMD_WRITE_ZEROES, 0, 512, EINVAL),
            new Case(ALL, 8, CMD_BLOCK_STATUS, 0, 0xFFFF_FE00L, OK),
            new Case(ALL, 0, CMD_BLOCK_STATUS, 0, 0, EINVAL),
            new Case(ALL, 0, CMD_BLOCK_STATUS, SIZE, 512, EINVAL),
            new Case(ALL, 0, 5, 0, 512, EINVAL),
            new Case(ALL, 0, 8, 0, 512, EINVAL),
            new Case(ALL, 0, 65535, 0, 512, EINVAL));

    @ParameterizedTest
    @FieldSource("CASES")
    void answers(Case row) {
        assertThat(check(row, true)).isEqualTo(row.error());
    }

    @Test
    void refusesBlockStatusWithoutContext() {
        assertThat(check(new Case(ALL, 0, CMD_BLOCK_STATUS, 0, 512, OK), false)).isEqualTo(EINVAL);
    }

    @Test
    void mapsDiskErrorsToWhatMayTravel() {
        assertThat(List.of(0, -1, -5, -12, -13, -22, -27, -28, -30, -75, -95, -108, -110, -122).stream()
                        .map(NbdProtocol::errorOf))
                .containsExactly(0, 1, 5, 12, 1, 22, 28, 28, 1, 75, 95, 108, 5, 28);
    }

    private static int check(Case row, boolean extents) {
        NbdRequest request = new NbdRequest(0, Arena.ofAuto());
        request.flags = row.flags();
        request.command = row.command();
        request.offsetBytes = row.offset();
        request.lengthBytes = row.length();
        NbdExport export = new NbdExport("", "", new MemoryDisk(512), null);
        return NbdRules.check(request, new NbdAgreement(export, row.offered(), true, extents), SIZE, 512);
    }
}
