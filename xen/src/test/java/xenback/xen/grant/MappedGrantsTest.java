package xenback.xen.grant;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.Xen;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.EmbeddedXen;

/** Pages that stay mapped are bounded for all guests together, whatever each of them may have. */
final class MappedGrantsTest {
    private static final int PAGES = 4;

    @TempDir
    private Path dir;

    private final PageBudget budget = new PageBudget(PAGES);
    private EmbeddedXen xen;
    private Xen dom0;
    private GrantTable table;
    private MappedGrants one;
    private MappedGrants other;
    private int[] grefsOfOne;
    private int[] grefsOfOther;

    @BeforeEach
    void start() throws Exception {
        xen = EmbeddedXen.start(dir.resolve("run"));
        dom0 = xen.domain0();
        table = dom0.openGrantTable();
        grefsOfOne = granted(xen.createDomain(1, 64));
        grefsOfOther = granted(xen.createDomain(2, 64));
        one = new MappedGrants(table, 1, PAGES, budget);
        other = new MappedGrants(table, 2, PAGES, budget);
    }

    @AfterEach
    void close() {
        one.close();
        other.close();
        table.close();
        xen.close();
    }

    private static int[] granted(Domain guest) throws Exception {
        int first = guest.allocatePages(PAGES).firstFrame();
        int[] grefs = guest.allocateGrefs(PAGES);
        for (int i = 0; i < PAGES; i++) {
            guest.grant(grefs[i], 0, first + i, false);
        }
        return grefs;
    }

    /** How many of a guest's pages can be mapped now. */
    private static int map(MappedGrants grants, int... grefs) {
        int mapped = 0;
        for (int gref : grefs) {
            mapped += grants.map(gref, true) == MappedGrants.NONE ? 0 : 1;
        }
        return mapped;
    }

    @Test
    void oneGuestMayTakeAllAndTheOtherGoesWithout() {
        assertThat(map(one, grefsOfOne)).isEqualTo(PAGES);
        assertThat(map(other, grefsOfOther)).isZero();
        assertThat(other.find(grefsOfOther[0])).isEqualTo(MappedGrants.NONE);
    }

    @Test
    void whatIsUnmappedOneByOneOthersCanHave() {
        map(one, grefsOfOne);
        one.unmap(one.find(grefsOfOne[0]));
        one.unmap(one.find(grefsOfOne[2]));
        assertThat(map(other, grefsOfOther)).isEqualTo(2);
        assertThat(map(one, grefsOfOne[0])).isZero();
    }

    @Test
    void whatIsClosedOthersCanHaveOnce() {
        map(one, grefsOfOne);
        one.close();
        one.close();
        assertThat(map(other, grefsOfOther)).isEqualTo(PAGES);
        assertThat(budget.take(1)).isFalse();
    }

    @Test
    void aRefusedGrantTakesNothing() {
        for (int i = 0; i < 2 * PAGES; i++) {
            assertThat(map(one, 63)).isZero();
        }
        assertThat(map(other, grefsOfOther)).isEqualTo(PAGES);
    }

    @Test
    void aProcessMayHaveHalfOfItsMappings() throws Exception {
        Process cat = new ProcessBuilder("cat", "/proc/sys/vm/max_map_count").start();
        int most = Integer.parseInt(new String(cat.getInputStream().readAllBytes(), StandardCharsets.US_ASCII).strip());
        int taken = 0;
        while (MappedGrants.MAPPINGS.take(1)) {
            taken++;
        }
        MappedGrants.MAPPINGS.give(taken);
        assertThat(taken).isEqualTo(most / 2);
    }

    @Test
    void manyAtOnceAreGivenOrNone() {
        assertThat(budget.take(PAGES + 1)).isFalse();
        assertThat(budget.take(PAGES)).isTrue();
        assertThat(budget.take(1)).isFalse();
        budget.give(PAGES);
        assertThat(budget.take(1)).isTrue();
    }

    @Test
    void halfOfTheUsualIsThereWhereTheKernelDoesNotSay() {
        PageBudget half = PageBudget.halfOf(dir.resolve("absent"), 2 * PAGES + 1);
        assertThat(half.take(PAGES)).isTrue();
        assertThat(half.take(1)).isFalse();
    }
}
