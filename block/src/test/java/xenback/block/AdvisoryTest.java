package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifLayout;
import xenback.block.protocol.BlkifRequest;
import xenback.block.protocol.Rule;
import xenback.xen.Errno;
import xenback.xen.embedded.Domain;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;

/**
 * What went wrong in other backends, done to ours; each test is named after the advisory. After each of them the device
 * answers an honest request, a second guest's disk was not disturbed, and nothing of the guest is left once it is gone.
 */
class AdvisoryTest {
    private static final int XVDA = 51712;
    private static final int SIZE = 4 << 20;

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private Machine machine;
    private Path image;
    private Domain guest;
    private HostileFrontend frontend;
    private Neighbour neighbour;

    @BeforeEach
    void start() throws Exception {
        machine = new Machine(dir, Engine.URING);
        image = Machine.image(dir.resolve("disk.img"), SIZE);
        guest = machine.guest(1);
        neighbour = new Neighbour();
    }

    @AfterEach
    void seeThatNobodyWasHarmed() throws Exception {
        assertThat(frontend.works()).as("an honest request").isTrue();
        frontend.reset(); // fails if the backend still has a grant in use
        neighbour.end();
        frontend.close();
        assertThat(guest.pinnedGrants()).isZero();
        assertThat(machine.xen.domain0().mappedGrants())
                .as("the neighbour's alone")
                .isLessThanOrEqualTo(neighbour.grants);
        machine.close();
        log.close();
        assertThat(log.faults()).isEmpty();
        assertThat(log.lines()).hasSizeLessThan(100);
    }

    private void connect(String mode, boolean persistent) throws Exception {
        frontend = new HostileFrontend(machine, guest, XVDA, image, mode, Abi.X86_64);
        if (persistent) {
            frontend.write("feature-persistent", "1");
        }
        frontend.connect();
    }

    /** A second guest that verifies its own data all the while. */
    private final class Neighbour {
        private final Thread thread;
        private final int grants;
        private volatile boolean ending;
        private volatile String harm = "";
        private final AtomicInteger rounds = new AtomicInteger();

        Neighbour() throws Exception {
            Path own = Machine.image(dir.resolve("neighbour.img"), 1 << 20);
            var xbd = machine.attach(machine.guest(2), XVDA, own, "w", Abi.NATIVE);
            grants = machine.xen.domain0().mappedGrants();
            thread = Thread.ofPlatform().start(() -> {
                Random random = new Random(2);
                try (GuestIo io = new GuestIo(xbd, xbd.loop())) {
                    while (!ending) {
                        byte[] bytes = new byte[12 * 4096];
                        random.nextBytes(bytes);
                        int at = random.nextInt(128) * 4096;
                        if (io.write(at, bytes) != 0 || !Arrays.equals(io.read(at, bytes.length), bytes)) {
                            harm = "wrong data at " + at;
                        }
                        rounds.incrementAndGet();
                    }
                } catch (Exception e) {
                    harm = e.toString();
                }
            });
        }

        void end() throws Exception {
            int before = rounds.get();
            Await.until(() -> rounds.get() > before + 1 || !harm.isEmpty(), () -> "the neighbour's next round");
            ending = true;
            thread.join();
            assertThat(harm).as("the neighbour").isEmpty();
        }
    }

    /** A request over payload pages, to be sent as an indirect one. */
    private BlkifRequest indirect(int operation, int segments) {
        BlkifRequest request = new BlkifRequest();
        request.compose(operation, frontend.reqProd(), 0);
        for (int i = 0; i < segments; i++) {
            request.addSegment(frontend.gref(i % 16), 0, 7);
        }
        return request;
    }

    private void send(BlkifRequest request, int descriptorPage) {
        MemorySegment slot = java.lang.foreign.Arena.ofAuto().allocate(112, 8);
        request.encodeIndirect(
                slot,
                Abi.X86_64.layout(),
                XVDA,
                frontend.page(descriptorPage),
                0,
                new int[] {frontend.gref(descriptorPage)},
                0);
        frontend.send(slot);
    }

    @Test
    void xsa155DescriptorsThatChangeWhileTheyAreReadAreJudgedAsTheyWereCopied() throws Exception {
        for (boolean persistent : new boolean[] {false, true}) {
            if (persistent) {
                frontend.reset();
                frontend.close();
                machine.toolstack.detach(Machine.vbd(1, XVDA, image, "w"), false);
            }
            connect("w", persistent);
            boolean[] ending = {false};
            MemorySegment descriptors = frontend.page(31);
            Thread mutator = Thread.ofPlatform().start(() -> {
                Random random = new Random(155);
                while (!ending[0]) {
                    long at = 8L * random.nextInt(16);
                    descriptors.set(ValueLayout.JAVA_BYTE, at + 4, (byte) random.nextInt(10)); // first_sect
                    descriptors.set(ValueLayout.JAVA_BYTE, at + 5, (byte) random.nextInt(10)); // last_sect
                }
            });
            for (int round = 0; round < 2000; round++) {
                for (int page = 16; page < 31; page++) {
                    frontend.page(page).set(ValueLayout.JAVA_INT, 0, 0x11223344);
                }
                send(indirect(Blkif.OP_READ, 16), 31);
                frontend.awaitAnswers();
            }
            ending[0] = true;
            mutator.join();
            for (int page = 16; page < 31; page++) {
                assertThat(frontend.page(page).get(ValueLayout.JAVA_INT, 0))
                        .as("a page that no descriptor named")
                        .isEqualTo(0x11223344);
            }
            assertThat(frontend.counters().violations(Rule.SEGMENT_BACKWARDS)).isPositive();
            assertThat(frontend.counters().violations(Rule.SEGMENT_BEYOND_PAGE)).isPositive();
            assertThat(frontend.counters().indirect()).as("not all were bad").isGreaterThan(1000);
        }
    }

    @Test
    void xsa216ResponsesHaveNoStackInTheirPadding() throws Exception {
        connect("w", false);
        for (int operation = 0; operation < 256; operation++) {
            if (operation == Blkif.OP_INDIRECT) {
                continue; // its response names what it carries: xsa216 below
            }
            frontend.ring().asSlice(64).fill((byte) 0xA5);
            frontend.ask(frontend.request(operation, 0)); // fails if a byte of the padding is not zero
        }
        send(indirect(Blkif.OP_READ, 12), 31);
        frontend.awaitAnswers();
        MemorySegment response = frontend.slot(frontend.reqProd() - 1);
        assertThat(response.get(ValueLayout.JAVA_BYTE, 8))
                .as("blkfront takes BLKIF_OP_INDIRECT here for a bug")
                .isEqualTo((byte) Blkif.OP_READ);
        assertThat(response.get(ValueLayout.JAVA_BYTE, 9)).isZero();
        assertThat(response.get(ValueLayout.JAVA_INT_UNALIGNED, 12)).isZero();
    }

    @Test
    void xsa361OneBadGrantInABatchFailsItsOwnRequestAlone() throws Exception {
        for (boolean persistent : new boolean[] {false, true}) {
            if (persistent) {
                frontend.reset();
                frontend.close();
                machine.toolstack.detach(Machine.vbd(1, XVDA, image, "w"), false);
            }
            connect("w", persistent);
            Random random = new Random(361);
            for (int round = 0; round < 60; round++) {
                List<Boolean> bad = new ArrayList<>();
                int first = frontend.reqProd();
                for (int i = 0; i < HostileFrontend.SLOTS; i++) {
                    int segments = 1 + random.nextInt(BlkifLayout.MAX_SEGMENTS);
                    int badAt = random.nextInt(3) == 0 ? random.nextInt(segments) : -1;
                    BlkifRequest request = new BlkifRequest();
                    request.compose(random.nextBoolean() ? Blkif.OP_READ : Blkif.OP_WRITE, first + i, 8);
                    for (int segment = 0; segment < segments; segment++) {
                        request.addSegment(segment == badAt ? 30_000 + segment : frontend.gref(segment), 0, 7);
                    }
                    bad.add(badAt >= 0);
                    frontend.send(request);
                }
                frontend.awaitAnswers();
                int seen = 0;
                for (int i = 0; i < HostileFrontend.SLOTS; i++) {
                    MemorySegment response = frontend.slot(first + i);
                    int id = (int) response.get(ValueLayout.JAVA_LONG_UNALIGNED, 0);
                    seen |= 1 << id - first;
                    assertThat(response.get(ValueLayout.JAVA_SHORT, 10))
                            .as("round %d request %d, persistent %s", round, id - first, persistent)
                            .isEqualTo(bad.get(id - first) ? Blkif.STATUS_ERROR : Blkif.STATUS_OKAY);
                }
                assertThat(seen).as("each is answered once").isEqualTo(-1);
            }
            assertThat(guest.pinnedGrants())
                    .as("the ring, and what stays mapped on purpose")
                    .isLessThanOrEqualTo(persistent ? 1 + HostileFrontend.PAYLOAD_PAGES : 1);
        }
    }

    @Test
    void xsa361ABadDescriptorPageFailsItsOwnRequestAlone() throws Exception {
        connect("w", true);
        for (int round = 0; round < 100; round++) {
            int first = frontend.reqProd();
            MemorySegment slot = java.lang.foreign.Arena.ofAuto().allocate(112, 8);
            for (int i = 0; i < 8; i++) {
                BlkifRequest request = indirect(Blkif.OP_WRITE, 16);
                int gref = i == round % 8 ? 31_000 : frontend.gref(20 + i);
                request.encodeIndirect(slot, Abi.X86_64.layout(), XVDA, frontend.page(20 + i), 0, new int[] {gref}, 0);
                frontend.send(slot);
            }
            frontend.awaitAnswers();
            for (int i = 0; i < 8; i++) {
                MemorySegment response = frontend.slot(first + i);
                int number = (int) response.get(ValueLayout.JAVA_LONG_UNALIGNED, 0) - first;
                assertThat(response.get(ValueLayout.JAVA_SHORT, 10))
                        .isEqualTo(number == round % 8 ? Blkif.STATUS_ERROR : Blkif.STATUS_OKAY);
            }
        }
        assertThat(frontend.counters().violations(Rule.BAD_GRANT)).isEqualTo(100);
    }

    @Test
    void xsa300APersistentFrontendThatNamesEverMorePagesMapsNoMoreThanTheLimit() throws Exception {
        connect("w", true);
        int most = 33 * HostileFrontend.SLOTS;
        var pages = guest.allocatePages(most * 2);
        int[] grefs = guest.allocateGrefs(most * 2);
        for (int i = 0; i < grefs.length; i++) {
            guest.grant(grefs[i], 0, pages.firstFrame() + i, false);
        }
        int others = machine.xen.domain0().mappedGrants();
        for (int i = 0; i < grefs.length; i++) {
            BlkifRequest request = new BlkifRequest();
            request.compose(Blkif.OP_READ, i, 0);
            request.addSegment(grefs[i], 0, 7);
            assertThat(frontend.ask(request)).isEqualTo(Blkif.STATUS_OKAY);
            assertThat(machine.xen.domain0().mappedGrants()).isLessThanOrEqualTo(others + most);
        }
        assertThat(machine.xen.domain0().mappedGrants()).isEqualTo(others + most);
        frontend.reset();
        for (int gref : grefs) {
            assertThat(guest.end(gref)).isTrue();
        }
        guest.freeGrefs(grefs);
        guest.freePages(pages);
        frontend.connect();
    }

    @Test
    void xsa371ErrorsLeakNoPersistentGrant() throws Exception {
        connect("w", true);
        for (int round = 0; round < 500; round++) {
            BlkifRequest request = new BlkifRequest();
            request.compose(Blkif.OP_WRITE, round, 0);
            for (int i = 0; i < 10; i++) {
                request.addSegment(frontend.gref(i), 0, 7);
            }
            request.addSegment(20_000 + round, 0, 7); // the last of eleven is refused
            assertThat(frontend.ask(request)).isEqualTo(Blkif.STATUS_ERROR);
        }
        assertThat(guest.pinnedGrants()).as("the ring and ten pages").isEqualTo(11);
    }

    @Test
    void aGrantThatSeveralRequestsInFlightNameIsMappedOnceAndServesAll() throws Exception {
        byte[] content = new byte[SIZE];
        new Random(1).nextBytes(content);
        Files.write(image, content);
        connect("w", true);
        for (int round = 0; round < 100; round++) {
            int first = frontend.reqProd();
            for (int i = 0; i < 8; i++) { // eight requests write an eighth of the same page each
                BlkifRequest request = new BlkifRequest();
                request.compose(Blkif.OP_READ, first + i, 8L * round + i);
                request.addSegment(frontend.gref(3), i, i);
                frontend.send(request);
            }
            frontend.awaitAnswers();
            assertThat(frontend.page(3).toArray(ValueLayout.JAVA_BYTE))
                    .isEqualTo(Arrays.copyOfRange(content, 4096 * round, 4096 * (round + 1)));
        }
        assertThat(guest.pinnedGrants()).as("the ring and one page").isEqualTo(2);
    }

    @Test
    void xsa332EventsWithoutRequestsAreDamped() throws Exception {
        connect("w", false);
        for (int i = 0; i < 20_000; i++) {
            frontend.notifyBackend();
        }
        Await.until(
                () -> {
                    frontend.notifyBackend();
                    return frontend.counters().damped() > 0;
                },
                () -> "a damped event after " + frontend.counters().events());
        assertThat(frontend.works()).as("one request ends it").isTrue();
        assertThat(frontend.works()).isTrue();
    }

    /** The store's daemon bounds what a guest keeps there; what it may not keep costs nobody else anything. */
    @Test
    void xsa326AGuestThatMakesAHundredThousandNodesFillsNothing() throws Exception {
        connect("w", false);
        int made = 0;
        long before = heapInUse();
        for (int i = 0; i < 100_000; i++) {
            try {
                frontend.write("junk/" + i % 100 + "/" + i, "x".repeat(i % 8));
                made++;
            } catch (StoreException e) {
                assertThat(e.errno()).isEqualTo(Errno.ENOSPC);
            }
            if (i % 20_000 == 0) {
                attachTo(3 + i / 20_000);
            }
        }
        assertThat(made).isPositive().isLessThan(1000);
        assertThat(heapInUse() - before).as("bytes of heap").isLessThan(16 << 20);
        assertThat(frontend.works()).isTrue();
        frontend.remove("junk");
        frontend.write("junk", "there is room again");
    }

    /** Where no quota bounds a guest, what lies below its directory is not looked at. Here domain 0 owns it, which has none. */
    @Test
    void xsa326AHundredThousandNodesBelowTheFrontendAreNotLookedAt() throws Exception {
        connect("w", false);
        StorePath junk = StorePath.of("/local/domain/1/device/vbd/51712/junk");
        machine.xen.domain0().store().transaction(access -> {
            access.write(junk, "");
            access.setPermissions(junk, List.of(new StorePermission(StorePermission.Access.READ, 0)));
            return true;
        });
        for (int directory = 0; directory < 100; directory++) {
            StorePath top = junk.child("d" + directory);
            machine.xen.domain0().store().transaction(access -> {
                for (int i = 0; i < 1000; i++) {
                    access.write(top.child("n" + i), "x");
                }
                return true;
            });
        }
        for (int i = 0; i < 20; i++) {
            frontend.reset();
            frontend.connect();
            assertThat(frontend.works()).isTrue();
        }
        attachTo(3);
        machine.xen.domain0().store().remove(junk);
    }

    /** One more guest gets its disk. */
    private void attachTo(int domid) throws Exception {
        Path own = Machine.image(dir.resolve("disk" + domid), 1 << 20);
        try (HostileFrontend other = new HostileFrontend(machine, machine.guest(domid), XVDA, own, "w", Abi.X86_64)) {
            other.connect();
            assertThat(other.works()).isTrue();
            other.reset();
        }
    }

    private static long heapInUse() {
        System.gc();
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }

    @Test
    void cve20132140NothingChangesAReadOnlyDisk() throws Exception {
        byte[] content = new byte[SIZE];
        new Random(2140).nextBytes(content);
        Files.write(image, content);
        connect("r", false);
        for (int operation = 0; operation < 256; operation++) {
            if (operation == Blkif.OP_READ || operation == Blkif.OP_INDIRECT) {
                continue;
            }
            BlkifRequest request = frontend.request(operation, 8);
            request.discard(64, true);
            assertThat(frontend.ask(request)).as("operation %d", operation).isNotEqualTo(Blkif.STATUS_OKAY);
        }
        for (int operation = 0; operation < 256; operation++) {
            send(indirect(operation, 16), 31);
            frontend.awaitAnswers();
            assertThat(frontend.slot(frontend.reqProd() - 1).get(ValueLayout.JAVA_SHORT, 10) == Blkif.STATUS_OKAY)
                    .as("indirect operation %d", operation)
                    .isEqualTo(operation == Blkif.OP_READ);
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }

    /** Takes pages back and grants them to others, or read-only, while requests name them. */
    @Test
    void grantsThatAreRevokedWhileRequestsRunFailThoseRequestsAlone() throws Exception {
        connect("w", false);
        Random random = new Random(7);
        int ok = 0;
        for (int round = 0; round < 2000; round++) {
            int page = random.nextInt(8);
            switch (random.nextInt(3)) {
                case 0 -> frontend.grant(page, 0, true);
                case 1 -> frontend.grant(page, 9, false);
                default -> frontend.grant(page, 0, false);
            }
            BlkifRequest request = new BlkifRequest();
            request.compose(random.nextBoolean() ? Blkif.OP_READ : Blkif.OP_WRITE, round, 0);
            for (int i = 0; i < 8; i++) {
                request.addSegment(frontend.gref(i), 0, 7);
            }
            ok += frontend.ask(request) == Blkif.STATUS_OKAY ? 1 : 0;
        }
        for (int page = 0; page < 8; page++) {
            frontend.grant(page, 0, false);
        }
        assertThat(frontend.counters().violations(Rule.BAD_GRANT)).isEqualTo(2000 - ok);
        assertThat(ok).isPositive();
    }

    @Test
    void aStoreThatFailsGivesTheGuestErrorsAndThenServesAgain() throws Exception {
        HeldDisk disk = new HeldDisk(1 << 20);
        disk.doneAtOnce = "read";
        disk.result = -Errno.EIO.number();
        try (Machine other = new Machine(
                dir.resolve("other"),
                Engine.URING,
                xenback.block.backend.BlockOptions.usual(),
                (target, options) -> disk)) {
            Domain owner = other.guest(1);
            try (HostileFrontend held = new HostileFrontend(other, owner, XVDA, Path.of("/held"), "w", Abi.X86_32)) {
                held.connect();
                assertThat(held.ask(held.request(Blkif.OP_READ, 0))).isEqualTo(Blkif.STATUS_ERROR);
                disk.result = 0;
                assertThat(held.works()).isTrue();
                assertThat(held.counters().errors()).isEqualTo(1);
            }
        }
        connect("w", false);
    }
}
