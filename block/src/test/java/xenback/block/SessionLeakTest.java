package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.xen.bus.XenbusState;
import xenback.xen.embedded.Domain;
import xenback.xen.io.EventLoop.Engine;

/** However a session ends, nothing of it is left: no grant, port, page, descriptor or thread (XSA-350, XSA-371). */
class SessionLeakTest {
    private static final int XVDA = 51712;

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private Path image;

    @BeforeEach
    void makeImage() throws IOException {
        image = Machine.image(dir.resolve("disk.img"), 1 << 20);
    }

    @AfterEach
    void seeThatNothingFailed() {
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    /** Starts reads and writes and does not wait for them. */
    private static void startRequests(HostileFrontend frontend, int count) {
        for (int i = 0; i < count; i++) {
            frontend.send(frontend.request(i % 2 == 0 ? Blkif.OP_READ : Blkif.OP_WRITE, 8L * i));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void twoHundredConnectionsWithRequestsInFlightLeaveNothing(Engine engine) throws Exception {
        try (Machine machine = new Machine(dir, engine)) {
            Domain guest = machine.guest(1);
            HostileFrontend frontend = new HostileFrontend(machine, guest, XVDA, image, "w", Abi.X86_64);
            Holding before = Holding.NOTHING;
            for (int i = 0; i < 200; i++) {
                frontend.connect();
                startRequests(frontend, i % HostileFrontend.SLOTS);
                frontend.restart(); // takes every grant back, which fails if one is in use
                if (i == 4) {
                    before = Holding.now(); // the first few open what stays: the store's connections, the disk
                }
            }
            assertThat(Holding.now()).isEqualTo(before);
            assertThat(guest.pinnedGrants()).isZero();
            assertThat(guest.openPorts()).isZero();
            assertThat(guest.allocatedPages()).isZero();
            assertThat(machine.xen.domain0().mappedGrants()).isZero();
            assertThat(machine.xen.domain0().openPorts()).isZero();
            frontend.connect();
            assertThat(frontend.works()).isTrue();
            frontend.close();
        }
    }

    @Test
    void aGuestThatIsDestroyedWithRequestsInFlightLeavesNothing() throws Exception {
        try (Machine machine = new Machine(dir, Engine.URING)) {
            Holding before = Holding.NOTHING;
            for (int i = 0; i < 20; i++) {
                Domain guest = machine.guest(1);
                HostileFrontend frontend = new HostileFrontend(machine, guest, XVDA, image, "w", Abi.X86_64);
                frontend.connect();
                startRequests(frontend, HostileFrontend.SLOTS);
                guest.close();
                machine.toolstack.detach(Machine.vbd(1, XVDA, image, "w"), true);
                machine.toolstack.removeHome(1);
                frontend.close();
                Await.until(
                        () -> machine.backend().devices().isEmpty(),
                        () -> "devices " + machine.backend().devices());
                assertThat(machine.xen.domain0().mappedGrants()).isZero();
                assertThat(machine.xen.domain0().openPorts()).isZero();
                if (i == 2) {
                    before = Holding.now();
                }
            }
            Holding expected = before;
            Await.until(() -> Holding.now().equals(expected), () -> Holding.now() + ", expected " + expected);
        }
    }

    @Test
    void aBackendThatEndsWithRequestsInFlightAnswersThemAndLeavesNothing() throws Exception {
        try (Machine machine = new Machine(dir, Engine.URING)) {
            Domain guest = machine.guest(1);
            HostileFrontend frontend = new HostileFrontend(machine, guest, XVDA, image, "w", Abi.X86_64);
            frontend.connect();
            startRequests(frontend, HostileFrontend.SLOTS);
            machine.restartBackend();
            assertThat(machine.xen.domain0().mappedGrants()).isZero();
            assertThat(machine.xen.domain0().openPorts()).isZero();
            assertThat(frontend.backendState())
                    .as("nothing is said in the store")
                    .isEqualTo(XenbusState.CONNECTED);
            frontend.takeBack();
            frontend.state(XenbusState.CLOSED);
            frontend.awaitBackend(XenbusState.CLOSED);
            frontend.state(XenbusState.INITIALISING);
            frontend.connect();
            assertThat(frontend.works()).isTrue();
            frontend.close();
        }
    }

    /** XSA-350: the frontend toggles between connected and closed as fast as it can while requests run. */
    @Test
    void aFrontendThatTogglesItsStateUnderLoadGetsNoStaleSession() throws Exception {
        try (Machine machine = new Machine(dir, Engine.URING)) {
            Domain guest = machine.guest(1);
            HostileFrontend frontend = new HostileFrontend(machine, guest, XVDA, image, "w", Abi.X86_64);
            frontend.connect();
            for (int i = 0; i < 300; i++) {
                startRequests(frontend, 1);
                frontend.state(
                        switch (i % 4) {
                            case 0 -> XenbusState.CLOSING;
                            case 1 -> XenbusState.CLOSED;
                            case 2 -> XenbusState.INITIALISING;
                            default -> XenbusState.INITIALISED;
                        });
            }
            frontend.state(XenbusState.CLOSED);
            frontend.awaitBackend(XenbusState.CLOSED);
            frontend.takeBack();
            assertThat(guest.pinnedGrants()).isZero();
            assertThat(machine.xen.domain0().mappedGrants()).isZero();
            frontend.state(XenbusState.INITIALISING);
            frontend.connect();
            assertThat(frontend.works()).isTrue();
            frontend.close();
        }
    }
}
