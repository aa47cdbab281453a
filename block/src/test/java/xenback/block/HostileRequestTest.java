package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifRequest;
import xenback.block.protocol.Rule;
import xenback.xen.embedded.Domain;
import xenback.xen.io.EventLoop.Engine;

/** A bad request gets its answer, its counter and nothing else: the next good one is served. */
class HostileRequestTest {
    private static final int XVDA = 51712;
    private static final int SIZE = 1 << 20;

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private Machine machine;
    private Path image;

    @BeforeEach
    void start() throws Exception {
        machine = new Machine(dir, Engine.URING);
        image = Machine.image(dir.resolve("disk.img"), SIZE);
    }

    @AfterEach
    void close() {
        machine.close();
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    private HostileFrontend connected(int domid, String mode, Abi abi) throws Exception {
        HostileFrontend frontend = new HostileFrontend(machine, machine.guest(domid), XVDA, image, mode, abi);
        frontend.connect();
        return frontend;
    }

    private static void assertRule(HostileFrontend frontend, Rule rule, BlkifRequest request) throws Exception {
        long before = frontend.counters().violations(rule);
        assertThat(frontend.ask(request)).as(rule.toString()).isEqualTo(rule.status());
        assertThat(frontend.counters().violations(rule)).as(rule.toString()).isEqualTo(before + 1);
        assertThat(frontend.works()).as("after %s", rule).isTrue();
    }

    @ParameterizedTest
    @EnumSource(Abi.class)
    void answersEveryRuleCountsItAndServesTheNext(Abi abi) throws Exception {
        try (HostileFrontend frontend = connected(1, "w", abi)) {
            assertThat(frontend.works()).isTrue();
            for (int operation : new int[] {4, 7, 255}) {
                assertRule(frontend, Rule.UNSUPPORTED_OPERATION, frontend.request(operation, 0));
            }
            BlkifRequest none = new BlkifRequest();
            none.compose(Blkif.OP_READ, frontend.reqProd(), 0);
            assertRule(frontend, Rule.NO_SEGMENTS, none);
            assertRule(frontend, Rule.SEGMENT_BACKWARDS, segment(frontend, Blkif.OP_WRITE, 0, 5, 4));
            assertRule(frontend, Rule.SEGMENT_BEYOND_PAGE, segment(frontend, Blkif.OP_READ, 0, 0, 8));
            assertRule(frontend, Rule.SEGMENT_BEYOND_PAGE, segment(frontend, Blkif.OP_READ, 0, 255, 255));
            for (long sector : new long[] {SIZE / 512 - 7, SIZE / 512, Long.MAX_VALUE, -1, Long.MIN_VALUE, 1L << 55}) {
                assertRule(frontend, Rule.BEYOND_END, frontend.request(Blkif.OP_READ, sector));
                assertRule(frontend, Rule.BEYOND_END, frontend.request(Blkif.OP_WRITE, sector));
            }
            for (int operation : new int[] {Blkif.OP_READ, Blkif.OP_WRITE, Blkif.OP_FLUSH_DISKCACHE}) {
                for (int gref : new int[] {0, 7, 20_000, 1 << 20, -1, Integer.MIN_VALUE}) {
                    BlkifRequest request = new BlkifRequest();
                    request.compose(operation, frontend.reqProd(), 0);
                    request.addSegment(frontend.gref(1), 0, 7);
                    request.addSegment(gref, 0, 7);
                    assertRule(frontend, Rule.BAD_GRANT, request);
                }
            }
            assertThat(frontend.counters().errors())
                    .as("no rule is the disk's fault")
                    .isZero();
            assertThat(frontend.counters().inFlight()).isZero();
            assertThat(Files.readAllBytes(image)).as("nothing was written").containsOnly(0);
        }
    }

    private static BlkifRequest segment(HostileFrontend frontend, int operation, long sector, int first, int last) {
        BlkifRequest request = new BlkifRequest();
        request.compose(operation, frontend.reqProd(), sector);
        request.addSegment(frontend.gref(0), first, last);
        return request;
    }

    @ParameterizedTest
    @EnumSource(Abi.class)
    void refusesMoreSegmentsThanASlotHolds(Abi abi) throws Exception {
        try (HostileFrontend frontend = connected(1, "w", abi);
                Arena arena = Arena.ofConfined()) {
            MemorySegment slot = arena.allocate(112, 8);
            for (int count : new int[] {12, 128, 255}) {
                BlkifRequest request = frontend.request(Blkif.OP_READ, 0);
                request.encode(slot, abi.layout(), 0);
                slot.set(ValueLayout.JAVA_BYTE, 1, (byte) count);
                frontend.send(slot);
                assertThat(frontend.answer(request)).isEqualTo(Blkif.STATUS_ERROR);
            }
            assertThat(frontend.counters().violations(Rule.TOO_MANY_SEGMENTS)).isEqualTo(3);
            assertThat(frontend.works()).isTrue();
        }
    }

    @Test
    void refusesWritesToAReadOnlyDiskAndToAReadOnlyGrant() throws Exception {
        try (HostileFrontend frontend = connected(1, "r", Abi.X86_64)) {
            assertRule(frontend, Rule.WRITE_TO_READ_ONLY, frontend.request(Blkif.OP_WRITE, 0));
            assertRule(frontend, Rule.WRITE_TO_READ_ONLY, frontend.request(Blkif.OP_FLUSH_DISKCACHE, 0));
            BlkifRequest read = frontend.request(Blkif.OP_READ, 0);
            frontend.grant(0, 0, true); // reading the disk writes to the page
            assertThat(frontend.ask(read)).isEqualTo(Blkif.STATUS_ERROR);
            assertThat(frontend.counters().violations(Rule.BAD_GRANT)).isEqualTo(1);
            frontend.grant(0, 3, false);
            assertThat(frontend.ask(frontend.request(Blkif.OP_READ, 0))).isEqualTo(Blkif.STATUS_ERROR);
            frontend.grant(0, 0, false);
            assertThat(frontend.works()).isTrue();
            assertThat(Files.readAllBytes(image)).containsOnly(0);
        }
    }

    /** A read gives the guest the sectors it asked for and leaves every other byte of the page alone. */
    @ParameterizedTest
    @EnumSource(Abi.class)
    void writesNoByteOutsideOfTheSegments(Abi abi) throws Exception {
        byte[] content = new byte[SIZE];
        new Random(8).nextBytes(content);
        Files.write(image, content);
        try (HostileFrontend frontend = connected(1, "w", abi)) {
            for (int first = 0; first < 8; first++) {
                for (int last = first; last < 8; last++) {
                    frontend.page(0).fill((byte) 0x77);
                    assertThat(frontend.ask(segment(frontend, Blkif.OP_READ, 100, first, last)))
                            .isZero();
                    for (int at = 0; at < 4096; at++) {
                        boolean asked = at >= first * 512 && at < (last + 1) * 512;
                        byte expected = asked ? content[100 * 512 + at - first * 512] : 0x77;
                        if (frontend.page(0).get(ValueLayout.JAVA_BYTE, at) != expected) {
                            throw new AssertionError("byte " + at + " of a read of sectors " + first + ".." + last);
                        }
                    }
                }
            }
        }
    }

    @Test
    void neverLogsMoreThanAFewLinesForAFloodOfBadRequests() throws Exception {
        try (HostileFrontend frontend = connected(1, "w", Abi.X86_64)) {
            BlkifRequest bad = frontend.request(9, 0);
            for (int round = 0; round < 20_000 / HostileFrontend.SLOTS; round++) {
                for (int i = 0; i < HostileFrontend.SLOTS; i++) {
                    frontend.send(bad);
                }
                frontend.awaitAnswers();
            }
            assertThat(frontend.counters().violations(Rule.UNSUPPORTED_OPERATION))
                    .isEqualTo(20_000);
            assertThat(log.lines()).isNotEmpty().hasSizeLessThan(100);
            assertThat(log.lines().getFirst()).contains("xbdback1i51712", "domain 1", "UNSUPPORTED_OPERATION");
        }
    }

    /**
     * XSA-155: another processor of the guest rewrites the slots and the counters' neighbours all the time. Each request is
     * answered exactly once, the device lives, and the other guest's disk is as it was.
     */
    @Test
    void survivesAGuestThatRewritesSlotsWhileTheyAreRead() throws Exception {
        Path otherImage = Machine.image(dir.resolve("other.img"), SIZE);
        Domain otherGuest = machine.guest(2);
        try (HostileFrontend frontend = connected(1, "w", Abi.X86_64);
                HostileFrontend other = new HostileFrontend(machine, otherGuest, XVDA, otherImage, "w", Abi.X86_32)) {
            other.connect();
            long seed = 155;
            Thread mutator = Thread.ofPlatform().start(() -> {
                Random random = new Random(seed);
                while (!Thread.currentThread().isInterrupted()) {
                    MemorySegment slot = frontend.slot(random.nextInt(HostileFrontend.SLOTS));
                    int at = random.nextInt(8) == 0 ? 16 + random.nextInt(96) : random.nextInt(4) * 8;
                    int value = random.nextInt(random.nextBoolean() ? 4 : 256);
                    // No gref of ours: the ring's own would have the disk's bytes written over its counters.
                    slot.set(ValueLayout.JAVA_BYTE, at, (byte) (at < 24 ? value : value | 0x80));
                }
            });
            try {
                for (int round = 0; round < 500; round++) {
                    for (int i = 0; i < HostileFrontend.SLOTS; i++) {
                        frontend.send(frontend.request(i % 2 == 0 ? Blkif.OP_WRITE : Blkif.OP_READ, 8L * i));
                    }
                    frontend.awaitAnswers();
                    if (round % 50 == 0) {
                        assertThat(other.works()).isTrue();
                    }
                }
            } finally {
                mutator.interrupt();
                mutator.join();
            }
            assertThat(frontend.rspProd()).isEqualTo(500 * HostileFrontend.SLOTS);
            assertThat(frontend.works()).isTrue();
            assertThat(Files.size(image)).isEqualTo(SIZE);
            assertThat(Files.readAllBytes(otherImage)).containsOnly(0);
        }
    }
}
