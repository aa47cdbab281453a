package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifRequest;
import xenback.xen.bus.XenbusState;
import xenback.xen.embedded.Domain;
import xenback.xen.io.EventLoop.Engine;

/** XSA-39: a broken ring costs its guest the device until it reconnects, and nobody else anything. */
class HostileRingTest {
    private static final int XVDA = 51712;

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private Machine machine;
    private HostileFrontend frontend;
    private HostileFrontend other;

    @BeforeEach
    void start() throws Exception {
        machine = new Machine(dir, Engine.URING);
        frontend = connected(machine.guest(1));
        other = connected(machine.guest(2));
    }

    private HostileFrontend connected(Domain guest) throws Exception {
        Path image = Machine.image(dir.resolve("disk" + guest.domid()), 1 << 20);
        HostileFrontend made = new HostileFrontend(machine, guest, XVDA, image, "w", Abi.X86_64);
        made.connect();
        return made;
    }

    @AfterEach
    void close() {
        frontend.close();
        other.close();
        machine.close();
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    /**
     * The disk's bytes go over the ring's counters while a barrier waits for that read: what was taken is still answered, or the
     * device could never be closed.
     */
    @Test
    void closesTheDeviceOfAGuestThatHasItsRingOverwritten() throws Exception {
        BlkifRequest overRing = new BlkifRequest();
        overRing.compose(Blkif.OP_READ, 1, 0);
        overRing.addSegment(frontend.ringGref(), 0, 7);

        frontend.sendTogether(overRing, frontend.request(Blkif.OP_WRITE_BARRIER, 8));

        frontend.awaitBackend(XenbusState.CLOSING);
        Await.until(() -> frontend.error().contains("RING_OVERFLOW"), frontend::error);
        frontend.takeBack();
        frontend.reset();
        frontend.connect();
        assertThat(frontend.works()).isTrue();
        assertThat(other.works()).isTrue();
    }

    @ParameterizedTest
    @ValueSource(ints = {33, 1000, Integer.MAX_VALUE, Integer.MIN_VALUE, -1, -33})
    void closesTheDeviceOfAGuestThatClaimsTheImpossible(int claim) throws Exception {
        assertThat(frontend.works()).isTrue();

        frontend.claim(frontend.rspProd() + claim);

        frontend.awaitBackend(XenbusState.CLOSING);
        Await.until(() -> frontend.error().contains("RING_OVERFLOW"), frontend::error);
        assertThat(machine.xen.domain0().mappedGrants())
                .as("only the other guest's ring")
                .isOne();
        frontend.takeBack(); // everything is given back although the guest has not closed yet
        assertThat(other.works()).isTrue();

        frontend.reset();
        frontend.connect();
        assertThat(frontend.works()).isTrue();
        assertThat(other.works()).isTrue();
    }

    @Test
    void answersWhatWasInFlightWhenTheRingBroke() throws Exception {
        for (int i = 0; i < 8; i++) {
            frontend.send(frontend.request(Blkif.OP_READ, 8L * i));
        }
        frontend.awaitAnswers();
        int answered = frontend.rspProd();
        frontend.claim(answered + 500);
        frontend.awaitBackend(XenbusState.CLOSING);
        assertThat(frontend.rspProd()).as("no answer to what was never taken").isEqualTo(answered);
    }

    @Test
    void believesNothingThatAGuestWritesIntoTheBackendsCounters() throws Exception {
        for (int round = 0; round < 100; round++) {
            frontend.ring().set(ValueLayout.JAVA_INT, 8, 0x5A5A5A5A); // rspProd, ours to write
            frontend.ring().set(ValueLayout.JAVA_INT, 4, round * 1_000_003); // reqEvent
            assertThat(frontend.works()).isTrue();
        }
        assertThat(frontend.rspProd()).isEqualTo(100);
    }

    @Test
    void aStormOfEventsWithoutWorkHoldsUpNobody() throws Exception {
        Thread storm = Thread.ofPlatform().start(() -> {
            while (!Thread.currentThread().isInterrupted()) {
                frontend.notifyBackend();
            }
        });
        try {
            for (int i = 0; i < 200; i++) {
                assertThat(other.works()).isTrue();
            }
            assertThat(frontend.works()).isTrue();
        } finally {
            storm.interrupt();
            storm.join();
        }
    }

    @Test
    void breakingTheRingAgainAndAgainFillsNoLog() throws Exception {
        for (int round = 0; round < 50; round++) {
            frontend.claim(frontend.rspProd() + 99);
            frontend.awaitBackend(XenbusState.CLOSING);
            frontend.reset();
            frontend.connect();
        }
        assertThat(frontend.works()).isTrue();
        assertThat(log.lines()).isNotEmpty().hasSizeLessThan(50);
    }
}
