package xenback.block.backend;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.Granter;

/** On the grant tables of the embedded Xen, which count who has what mapped. */
class PersistentGrantsTest {
    private static final int PAGES = 64;

    @TempDir
    private Path dir;

    private EmbeddedXen xen;
    private Domain guest;
    private Granter.Pages pages;
    private int[] grefs;
    private GrantTable table;

    @BeforeEach
    void start() throws Exception {
        xen = EmbeddedXen.start(dir.resolve("run"));
        guest = xen.createDomain(1, PAGES);
        pages = guest.allocatePages(PAGES);
        grefs = guest.allocateGrefs(PAGES);
        for (int i = 0; i < PAGES; i++) {
            guest.grant(grefs[i], 0, pages.firstFrame() + i, false);
            pages.memory().set(ValueLayout.JAVA_INT, 4096L * i, i);
        }
        table = xen.domain0().openGrantTable();
    }

    @AfterEach
    void close() {
        table.close();
        xen.close();
    }

    private static int read(PersistentGrants grants, int place) {
        return grants.memory().get(ValueLayout.JAVA_INT, PersistentGrants.offset(place));
    }

    @Test
    void mapsAPageOnceAndKeepsItAfterItsUse() throws Exception {
        try (PersistentGrants grants = new PersistentGrants(table, 1, 8)) {
            int place = grants.acquire(grefs[5]);
            assertThat(read(grants, place)).isEqualTo(5);
            assertThat(grants.acquire(grefs[5])).as("in use twice").isEqualTo(place);
            assertThat(guest.pinnedGrants()).isEqualTo(1);
            grants.release(place, 0);
            grants.release(place, 0);
            assertThat(guest.end(grefs[5])).as("it stays mapped").isFalse();
            assertThat(grants.acquire(grefs[5])).isEqualTo(place);
            grants.release(place, 0);
        }
        assertThat(guest.end(grefs[5])).as("closed").isTrue();
    }

    @Test
    void saysNoToARefusedGrantAndKeepsItsPlace() throws Exception {
        guest.grant(grefs[1], 0, pages.firstFrame(), true);
        guest.grant(grefs[2], 7, pages.firstFrame(), false);
        try (PersistentGrants grants = new PersistentGrants(table, 1, 1)) {
            for (int gref : new int[] {grefs[1], grefs[2], 0, -1, 1 << 20}) {
                assertThat(grants.acquire(gref)).as("gref %d", gref).isEqualTo(PersistentGrants.NONE);
            }
            assertThat(grants.mapped()).isZero();
            assertThat(grants.acquire(grefs[3])).isNotEqualTo(PersistentGrants.NONE);
        }
    }

    @Test
    void givesTheLeastRecentlyUsedBackAndNeverOneInUse() throws Exception {
        try (PersistentGrants grants = new PersistentGrants(table, 1, 3)) {
            int a = grants.acquire(grefs[0]);
            int b = grants.acquire(grefs[1]);
            int c = grants.acquire(grefs[2]);
            assertThat(grants.acquire(grefs[3])).as("all are in use").isEqualTo(PersistentGrants.NONE);
            grants.release(b, 1);
            grants.release(a, 2);
            grants.release(c, 3);
            grants.release(grants.acquire(grefs[1]), 4); // younger than the others now
            int d = grants.acquire(grefs[3]);
            assertThat(read(grants, d)).isEqualTo(3);
            assertThat(guest.end(grefs[0])).as("the oldest").isTrue();
            assertThat(guest.end(grefs[1])).isFalse();
            assertThat(guest.end(grefs[2])).isFalse();
        }
    }

    @Test
    void expiresWhatNobodyUsed() throws Exception {
        try (PersistentGrants grants = new PersistentGrants(table, 1, 8)) {
            int used = grants.acquire(grefs[0]);
            for (int i = 1; i <= 5; i++) {
                grants.release(grants.acquire(grefs[i]), i * 10L);
            }
            assertThat(grants.expire(39, 30, 100)).isZero();
            assertThat(grants.expire(60, 30, 2)).as("two at a time").isEqualTo(2);
            assertThat(grants.expire(60, 30, 2)).isEqualTo(1);
            assertThat(grants.mapped()).isEqualTo(3);
            assertThat(grants.expire(1000, 30, 100)).isEqualTo(2);
            assertThat(read(grants, used)).as("in use").isZero();
            assertThat(guest.end(grefs[0])).isFalse();
        }
    }

    /** Against a model: a map of what is mapped and a queue of what is idle. */
    @RepeatedTest(10)
    void behavesAsAMapWithALruList(RepetitionInfo repetition) throws Exception {
        long seed = repetition.getCurrentRepetition();
        Random random = new Random(seed);
        int places = 1 + random.nextInt(40);
        Map<Integer, Integer> users = new HashMap<>();
        LinkedHashMap<Integer, Boolean> idle = new LinkedHashMap<>();
        ArrayDeque<int[]> uses = new ArrayDeque<>();
        try (PersistentGrants grants = new PersistentGrants(table, 1, places)) {
            for (int step = 0; step < 3000; step++) {
                if (uses.isEmpty() || random.nextInt(100) < 52) {
                    int page = random.nextInt(PAGES);
                    boolean known = users.containsKey(page);
                    boolean room = known || users.size() < places || !idle.isEmpty();
                    int place = grants.acquire(grefs[page]);
                    assertThat(place != PersistentGrants.NONE)
                            .as("seed %d step %d", seed, step)
                            .isEqualTo(room);
                    if (place == PersistentGrants.NONE) {
                        continue;
                    }
                    assertThat(read(grants, place)).isEqualTo(page);
                    if (!known && users.size() == places) {
                        int oldest = idle.keySet().iterator().next();
                        idle.remove(oldest);
                        users.remove(oldest);
                    }
                    users.merge(page, 1, Integer::sum);
                    idle.remove(page);
                    uses.add(new int[] {page, place});
                } else {
                    List<int[]> all = new ArrayList<>(uses);
                    int[] use = all.get(random.nextInt(all.size()));
                    uses.remove(use);
                    grants.release(use[1], step);
                    if (users.merge(use[0], -1, Integer::sum) == 0) {
                        idle.put(use[0], true);
                    }
                }
                assertThat(grants.mapped()).as("seed %d step %d", seed, step).isEqualTo(users.size());
                assertThat(guest.pinnedGrants()).isEqualTo(users.size());
            }
        }
        assertThat(guest.pinnedGrants()).isZero();
        assertThat(xen.domain0().mappedGrants()).isZero();
    }
}
