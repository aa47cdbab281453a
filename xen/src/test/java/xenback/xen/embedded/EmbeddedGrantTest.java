package xenback.xen.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.grant.GrantCopyBatch.Direction;
import xenback.xen.grant.GrantMapping;
import xenback.xen.grant.GrantStatus;
import xenback.xen.grant.GrantTable;
import xenback.xen.grant.Granter;

/** The embedded Xen refuses what Xen refuses (grant_table.c) and forgets nothing that is still in use. */
class EmbeddedGrantTest {
    private static final int PAGE_BYTES = 4096;

    @TempDir
    private Path dir;

    private final Arena arena = Arena.ofShared();
    private EmbeddedXen xen;
    private Domain guest;
    private GrantTable grants;
    private MemorySegment local;

    @BeforeEach
    void start() throws XenException {
        xen = EmbeddedXen.start(dir.resolve("run"));
        guest = xen.createDomain(1, 64);
        grants = xen.domain0().openGrantTable();
        local = arena.allocate(4 * PAGE_BYTES, PAGE_BYTES);
    }

    @AfterEach
    void close() {
        grants.close();
        xen.close();
        arena.close();
    }

    private int permit(int domid, int frame, boolean readOnly) throws XenException {
        int gref = guest.allocateGrefs(1)[0];
        guest.grant(gref, domid, frame, readOnly);
        return gref;
    }

    private short copyOne(Direction direction, int domid, int gref) {
        GrantCopyBatch batch = new GrantCopyBatch(direction, 1);
        batch.add(domid, gref, 0, local, 0, 16);
        int failed = grants.copy(batch);
        assertThat(failed).isEqualTo(batch.status(0) == GrantStatus.OKAY ? 0 : 1);
        return batch.status(0);
    }

    private static void assertRefused(Errno errno, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        XenException.class, e -> assertThat(e.errno()).isEqualTo(errno));
    }

    @Test
    void copiesBothWaysThroughAPermit() throws XenException {
        Granter.Pages pages = guest.allocatePages(1);
        int gref = permit(0, pages.firstFrame(), false);
        pages.memory().fill((byte) 0x11);
        assertThat(copyOne(Direction.FROM_GUEST, 1, gref)).isEqualTo(GrantStatus.OKAY);
        assertThat(local.get(ValueLayout.JAVA_BYTE, 15)).isEqualTo((byte) 0x11);
        assertThat(local.get(ValueLayout.JAVA_BYTE, 16)).isZero();
        local.fill((byte) 0x22);
        assertThat(copyOne(Direction.TO_GUEST, 1, gref)).isEqualTo(GrantStatus.OKAY);
        assertThat(pages.memory().get(ValueLayout.JAVA_BYTE, 15)).isEqualTo((byte) 0x22);
        assertThat(pages.memory().get(ValueLayout.JAVA_BYTE, 16)).isEqualTo((byte) 0x11);
        assertThat(guest.end(gref)).isTrue();
    }

    @Test
    void givesEachRefusalItsStatus() throws XenException {
        Granter.Pages page = guest.allocatePages(1);
        int readOnly = permit(0, page.firstFrame(), true);
        assertThat(copyOne(Direction.FROM_GUEST, 1, readOnly)).isEqualTo(GrantStatus.OKAY);
        assertThat(copyOne(Direction.TO_GUEST, 1, readOnly)).isEqualTo(GrantStatus.GENERAL_ERROR);
        int foreign = permit(7, page.firstFrame(), false);
        assertThat(copyOne(Direction.FROM_GUEST, 1, foreign)).isEqualTo(GrantStatus.GENERAL_ERROR);
        int invalid = guest.allocateGrefs(1)[0];
        assertThat(copyOne(Direction.FROM_GUEST, 1, invalid)).isEqualTo(GrantStatus.GENERAL_ERROR);
        for (int gref : new int[] {-1, 0, 7, GrantEntries.ENTRY_LIMIT, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            assertThat(copyOne(Direction.FROM_GUEST, 1, gref))
                    .as("gref %d", gref)
                    .isEqualTo(GrantStatus.BAD_GREF);
        }
        for (int frame : new int[] {64, -1, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            int beyond = permit(0, frame, false);
            assertThat(copyOne(Direction.FROM_GUEST, 1, beyond))
                    .as("frame %d", frame)
                    .isEqualTo(GrantStatus.BAD_PAGE);
            assertRefused(Errno.EINVAL, () -> grants.map(1, new int[] {beyond}, true));
        }
        for (int domid : new int[] {2, -1, 0x7FF0, Integer.MAX_VALUE}) {
            assertThat(copyOne(Direction.FROM_GUEST, domid, readOnly))
                    .as("domain %d", domid)
                    .isEqualTo(GrantStatus.BAD_DOMAIN);
        }
        assertThat(guest.pinnedGrants()).isZero();
    }

    @Test
    void leavesAStatusInEveryEntryOfABatch() throws XenException {
        Granter.Pages pages = guest.allocatePages(8);
        Random random = new Random(20261122);
        for (int round = 0; round < 200; round++) {
            GrantCopyBatch batch = new GrantCopyBatch(Direction.TO_GUEST, 8);
            boolean[] good = new boolean[8];
            int[] grefs = guest.allocateGrefs(8);
            int bad = 0;
            local.fill((byte) round);
            pages.memory().fill((byte) ~round);
            for (int i = 0; i < 8; i++) {
                good[i] = random.nextBoolean();
                bad += good[i] ? 0 : 1;
                guest.grant(grefs[i], 0, pages.firstFrame() + i, !good[i]);
                batch.add(1, grefs[i], i * 512, local, 0, 512);
            }
            assertThat(grants.copy(batch)).isEqualTo(bad);
            for (int i = 0; i < 8; i++) {
                assertThat(batch.status(i)).isEqualTo(good[i] ? GrantStatus.OKAY : GrantStatus.GENERAL_ERROR);
                long at = (long) i * PAGE_BYTES + i * 512L;
                assertThat(pages.memory().get(ValueLayout.JAVA_BYTE, at))
                        .as("round %d entry %d", round, i)
                        .isEqualTo((byte) (good[i] ? round : ~round));
                assertThat(guest.end(grefs[i])).isTrue();
            }
            guest.freeGrefs(grefs);
        }
    }

    @Test
    void copiesExactlyTheBytesAskedForAtEveryOffset() throws XenException {
        Granter.Pages page = guest.allocatePages(3);
        int gref = permit(0, page.firstFrame() + 1, false);
        byte[] pattern = new byte[PAGE_BYTES];
        new Random(5).nextBytes(pattern);
        for (int offset = 0; offset < PAGE_BYTES; offset += offset < 16 || offset > PAGE_BYTES - 16 ? 1 : 61) {
            int longest = PAGE_BYTES - offset;
            for (int length : new int[] {0, 1, Math.min(7, longest), longest / 2, longest}) {
                MemorySegment.copy(pattern, 0, page.memory(), ValueLayout.JAVA_BYTE, PAGE_BYTES, PAGE_BYTES);
                local.fill((byte) 0);
                GrantCopyBatch from = new GrantCopyBatch(Direction.FROM_GUEST, 1);
                long at = PAGE_BYTES - 5; // the local side crosses a page
                from.add(1, gref, offset, local, at, length);
                assertThat(grants.copy(from)).isZero();
                assertThat(local.asSlice(at, length).mismatch(page.memory().asSlice(PAGE_BYTES + offset, length)))
                        .isEqualTo(-1);
                assertThat(local.get(ValueLayout.JAVA_BYTE, at - 1)).isZero();
                assertThat(local.get(ValueLayout.JAVA_BYTE, at + length)).isZero();

                page.memory().fill((byte) 0);
                GrantCopyBatch to = new GrantCopyBatch(Direction.TO_GUEST, 1);
                to.add(1, gref, offset, local, at, length);
                assertThat(grants.copy(to)).isZero();
                MemorySegment expected = arena.allocate(page.memory().byteSize());
                MemorySegment.copy(pattern, offset, expected, ValueLayout.JAVA_BYTE, PAGE_BYTES + offset, length);
                assertThat(page.memory().mismatch(expected)).isEqualTo(-1);
            }
        }
    }

    @Test
    void refusesBatchesThatWouldLeaveAPage() {
        GrantCopyBatch batch = new GrantCopyBatch(Direction.FROM_GUEST, 1);
        assertThatThrownBy(() -> batch.add(1, 8, 4095, local, 0, 2)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> batch.add(1, 8, -1, local, 0, 2)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> batch.add(1, 8, 0, local, local.byteSize() - 1, 2))
                .isInstanceOf(IndexOutOfBoundsException.class);
        batch.add(1, 8, 0, local, 0, 2);
        assertThat(batch.status(0)).as("before it is done").isEqualTo(GrantStatus.GENERAL_ERROR);
        assertThatThrownBy(() -> batch.add(1, 8, 0, local, 0, 2)).isInstanceOf(IndexOutOfBoundsException.class);
    }

    @Test
    void mapsPagesSideBySideInTheOrderOfTheirGrefs() throws XenException {
        Granter.Pages pages = guest.allocatePages(5);
        int[] order = {3, 0, 4, 4, 1};
        int[] grefs = new int[order.length];
        for (int i = 0; i < 5; i++) {
            pages.memory().asSlice((long) i * PAGE_BYTES, PAGE_BYTES).fill((byte) (0x10 + i));
        }
        for (int i = 0; i < order.length; i++) {
            grefs[i] = permit(0, pages.firstFrame() + order[i], false);
        }
        try (GrantMapping mapping = grants.map(1, grefs, true)) {
            assertThat(mapping.memory().byteSize()).isEqualTo(5 * PAGE_BYTES);
            for (int i = 0; i < order.length; i++) {
                assertThat(mapping.memory().get(ValueLayout.JAVA_BYTE, (long) i * PAGE_BYTES))
                        .isEqualTo((byte) (0x10 + order[i]));
                assertThat(mapping.memory().get(ValueLayout.JAVA_BYTE, (long) i * PAGE_BYTES + PAGE_BYTES - 1))
                        .isEqualTo((byte) (0x10 + order[i]));
            }
            // It is the same memory, not a copy.
            mapping.memory().set(ValueLayout.JAVA_INT, PAGE_BYTES, 0xCAFE);
            assertThat(pages.memory().get(ValueLayout.JAVA_INT, 0)).isEqualTo(0xCAFE);
            assertThat(guest.pinnedGrants()).isEqualTo(5);
            assertThat(xen.domain0().mappedGrants()).isEqualTo(5);
        }
        assertThat(guest.pinnedGrants()).isZero();
        assertThat(xen.domain0().mappedGrants()).isZero();
    }

    @Test
    void oneBadReferenceFailsTheWholeMapAndPinsNothing() throws XenException {
        Granter.Pages pages = guest.allocatePages(4);
        for (int bad = 0; bad < 4; bad++) {
            int[] grefs = new int[4];
            for (int i = 0; i < 4; i++) {
                grefs[i] = permit(i == bad ? 5 : 0, pages.firstFrame() + i, false);
            }
            assertRefused(Errno.EINVAL, () -> grants.map(1, grefs, true));
            assertThat(guest.pinnedGrants()).isZero();
            assertThat(xen.domain0().mappedGrants()).isZero();
            for (int gref : grefs) {
                assertThat(guest.end(gref)).isTrue();
            }
        }
        assertRefused(Errno.EINVAL, () -> grants.map(9, new int[] {8}, true));
    }

    @Test
    void aReadOnlyMappingHasNoWriteRightInTheKernel() throws XenException, IOException {
        Granter.Pages pages = guest.allocatePages(2);
        int[] grefs = {permit(0, pages.firstFrame(), true), permit(0, pages.firstFrame() + 1, true)};
        assertRefused(Errno.EINVAL, () -> grants.map(1, grefs, true));
        try (GrantMapping mapping = grants.map(1, grefs, false)) {
            assertThat(rights(mapping.memory().address())).isEqualTo("r--s");
            assertThat(rights(mapping.memory().address() + PAGE_BYTES)).isEqualTo("r--s");
            assertThat(mapping.memory().get(ValueLayout.JAVA_INT, 0)).isZero();
        }
        int writable = permit(0, pages.firstFrame(), false);
        try (GrantMapping mapping = grants.map(1, new int[] {writable}, true)) {
            assertThat(rights(mapping.memory().address())).isEqualTo("rw-s");
        }
    }

    /** What the kernel says of the page at an address: writing to a read-only one would end the JVM. */
    private static String rights(long address) throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/maps"))) {
            String[] range = line.substring(0, line.indexOf(' ')).split("-", 2);
            if (Long.compareUnsigned(address, Long.parseUnsignedLong(range[0], 16)) >= 0
                    && Long.compareUnsigned(address, Long.parseUnsignedLong(range[1], 16)) < 0) {
                return line.split(" ", 3)[1];
            }
        }
        return "not mapped";
    }

    @Test
    void closedMappingThrowsInsteadOfCrashing() throws XenException {
        Granter.Pages pages = guest.allocatePages(1);
        GrantMapping mapping = grants.map(1, new int[] {permit(0, pages.firstFrame(), false)}, true);
        mapping.close();
        mapping.close();
        assertThatThrownBy(() -> mapping.memory().get(ValueLayout.JAVA_INT, 0))
                .isInstanceOf(IllegalStateException.class);
        assertThat(xen.domain0().mappedGrants()).isZero();
    }

    @Test
    void refusesToEndAccessWhileTheGrantIsMapped() throws XenException {
        Granter.Pages pages = guest.allocatePages(1);
        int gref = permit(0, pages.firstFrame(), false);
        GrantMapping first = grants.map(1, new int[] {gref}, true);
        GrantMapping second = grants.map(1, new int[] {gref}, false);
        assertThat(guest.end(gref)).isFalse();
        first.close();
        assertThat(guest.end(gref)).as("the reader is still there").isFalse();
        assertThat(copyOne(Direction.FROM_GUEST, 1, gref)).isEqualTo(GrantStatus.OKAY);
        second.close();
        assertThat(guest.end(gref)).isTrue();
        assertThat(copyOne(Direction.FROM_GUEST, 1, gref)).isEqualTo(GrantStatus.GENERAL_ERROR);
    }

    /** A copy pins its page for just as long as it runs; the pin is what {@code end} meets. */
    @Test
    void refusesToEndAccessWhileTheGrantIsCopied() {
        GrantEntries entries = new GrantEntries();
        entries.permit(9, 0, 3, false);
        for (boolean write : new boolean[] {false, true}) {
            assertThat(entries.pin(9, 0, write)).isEqualTo(GrantStatus.OKAY);
            assertThat(entries.end(9)).isFalse();
            entries.unpin(9, write);
        }
        assertThat(entries.pinned()).isZero();
        assertThat(entries.end(9)).isTrue();
        assertThat(entries.pin(9, 0, false)).isEqualTo(GrantStatus.GENERAL_ERROR);
    }

    @Test
    void limitsTheUsersOfOneGrant() {
        GrantEntries entries = new GrantEntries();
        entries.permit(9, 0, 3, false);
        int users = 0;
        while (entries.pin(9, 0, false) == GrantStatus.OKAY) {
            users++;
        }
        assertThat(users).isEqualTo(32766);
        assertThat(entries.pin(9, 0, false)).isEqualTo(GrantStatus.NO_SPACE);
        for (; users > 0; users--) {
            assertThat(entries.end(9)).isFalse();
            entries.unpin(9, false);
        }
        assertThat(entries.end(9)).isTrue();
    }

    @Test
    void pagesOutliveTheirDomainWhileTheyAreMapped() throws XenException {
        Granter.Pages pages = guest.allocatePages(1);
        int gref = permit(0, pages.firstFrame(), false);
        pages.memory().set(ValueLayout.JAVA_INT, 0, 4711);
        GrantMapping mapping = grants.map(1, new int[] {gref}, true);
        guest.close();
        assertThat(mapping.memory().get(ValueLayout.JAVA_INT, 0)).isEqualTo(4711);
        mapping.memory().set(ValueLayout.JAVA_INT, 4, 1);
        assertThat(copyOne(Direction.FROM_GUEST, 1, gref)).isEqualTo(GrantStatus.BAD_DOMAIN);
        assertThatThrownBy(() -> pages.memory().get(ValueLayout.JAVA_INT, 0)).isInstanceOf(IllegalStateException.class);
        mapping.close();
        assertThat(xen.domain0().mappedGrants()).isZero();
        // The number may be used again, by a domain that has granted nothing.
        Domain next = xen.createDomain(1, 16);
        assertThat(copyOne(Direction.FROM_GUEST, 1, gref)).isEqualTo(GrantStatus.GENERAL_ERROR);
        next.close();
    }

    /** A guest rewrites its table while we use it: whatever it writes, no access leaves its own memory. */
    @Test
    void survivesAGuestThatRewritesItsEntriesUnderUs() throws Exception {
        Granter.Pages pages = guest.allocatePages(2);
        int gref = permit(0, pages.firstFrame(), false);
        Thread hostile = Thread.ofPlatform().start(() -> {
            int[] frames = {0, 63, 64, -1, Integer.MAX_VALUE, pages.firstFrame()};
            for (int i = 0; !Thread.currentThread().isInterrupted(); i++) {
                guest.grants().permit(gref, i % 5 == 0 ? 3 : 0, frames[i % frames.length], i % 3 == 0);
            }
        });
        try {
            int mapped = 0;
            for (int i = 0; i < 20_000; i++) {
                assertThat(copyOne(Direction.FROM_GUEST, 1, gref))
                        .isIn(GrantStatus.OKAY, GrantStatus.BAD_PAGE, GrantStatus.GENERAL_ERROR);
                try (GrantMapping mapping = grants.map(1, new int[] {gref}, false)) {
                    mapping.memory().get(ValueLayout.JAVA_BYTE, 0); // a bus error if it lies beyond the guest's memory
                    mapped++;
                } catch (XenException e) {
                    assertThat(e.errno()).isEqualTo(Errno.EINVAL);
                }
            }
            assertThat(mapped).isPositive();
        } finally {
            hostile.interrupt();
            hostile.join();
        }
        assertThat(guest.pinnedGrants()).isZero();
        assertThat(xen.domain0().mappedGrants()).isZero();
    }

    @Test
    void refusesMappingsBeyondTheMaptrackLimit() throws XenException {
        Granter.Pages pages = guest.allocatePages(2);
        int[] grefs = {permit(0, pages.firstFrame(), false), permit(0, pages.firstFrame() + 1, false)};
        int limit = 1024 * 512;
        xen.domain0().takeMaptrack(limit - 1);
        assertRefused(Errno.ENOSPC, () -> grants.map(1, grefs, true));
        assertThat(guest.pinnedGrants()).isZero();
        grants.map(1, new int[] {grefs[0]}, true).close();
        assertThat(xen.domain0().mappedGrants()).isEqualTo(limit - 1);
        xen.domain0().giveMaptrack(limit - 1);
    }

    @Test
    void grantReferencesAndPagesComeToAnEnd() throws XenException {
        int[] most = guest.allocateGrefs(GrantEntries.ENTRY_LIMIT - GrantEntries.RESERVED - 2);
        assertThat(most).doesNotContain(0, 7).contains(8);
        assertRefused(Errno.ENOSPC, () -> guest.allocateGrefs(3));
        int[] rest = guest.allocateGrefs(2); // the failed call kept none
        assertRefused(Errno.ENOSPC, () -> guest.allocateGrefs(1));
        guest.freeGrefs(rest);
        assertThat(guest.allocateGrefs(2)).containsExactly(rest);

        Granter.Pages first = guest.allocatePages(32);
        guest.allocatePages(31);
        assertRefused(Errno.ENOMEM, () -> guest.allocatePages(2));
        first.memory().fill((byte) 1);
        guest.freePages(first);
        assertRefused(Errno.ENOMEM, () -> guest.allocatePages(33));
        Granter.Pages again = guest.allocatePages(32);
        assertThat(again.memory().mismatch(arena.allocate(32 * PAGE_BYTES)))
                .as("zeroed")
                .isEqualTo(-1);
    }
}
