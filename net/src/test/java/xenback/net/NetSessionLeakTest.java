package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.net.HostileNetGuest.Slot;
import xenback.net.backend.NetOptions;
import xenback.net.protocol.NetControl;
import xenback.xen.bus.XenbusState;
import xenback.xen.embedded.Domain;

/** However a session ends, nothing of it is left: no grant, port, page, descriptor or thread (XSA-350, XSA-374). */
class NetSessionLeakTest {
    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();

    @AfterEach
    void seeThatNothingFailed() {
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    private record Holding(long descriptors, long loopThreads, long mappings) {
        static Holding now() throws IOException {
            long threads = Thread.getAllStackTraces().keySet().stream()
                    .filter(thread -> thread.getName().startsWith("xnb"))
                    .count();
            try (Stream<Path> descriptors = Files.list(Path.of("/proc/self/fd"));
                    Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
                return new Holding(
                        descriptors.count(),
                        threads,
                        maps.filter(line -> line.contains("xenback-domain") || line.contains("io_uring"))
                                .count());
            }
        }
    }

    /** Frames both ways, some of which wait for buffers, and pages that stay mapped. */
    private static void startTraffic(HostileNetGuest guest, int count) throws Exception {
        NetControl.putGrant(guest.page(5), 0, guest.gref(0), false);
        guest.ask(NetControl.ADD_GREF_MAPPING, 0, guest.gref(5), 1);
        for (int i = 0; i < count; i++) {
            guest.put(new Slot(i, 0, 0, 1000));
            guest.link().put(PlainFrames.finished(new byte[1000], 0));
        }
        guest.publishTx();
        guest.post(count / 2);
    }

    @Test
    void connectionsWithTrafficLeaveNothing() throws Exception {
        try (NetMachine machine = new NetMachine(dir, NetOptions.usual())) {
            Domain domain = machine.guest(1);
            HostileNetGuest guest = new HostileNetGuest(machine, domain);
            Holding before = new Holding(0, 0, 0);
            for (int i = 0; i < 60; i++) {
                guest.connect();
                startTraffic(guest, i);
                guest.reset(); // takes every grant back, which fails if one is in use
                if (i == 4) {
                    before = Holding.now();
                }
            }
            assertThat(Holding.now()).isEqualTo(before);
            assertThat(domain.pinnedGrants()).isZero();
            assertThat(domain.openPorts()).isZero();
            assertThat(domain.allocatedPages()).isZero();
            assertThat(machine.xen.domain0().mappedGrants()).isZero();
            assertThat(machine.xen.domain0().openPorts()).isZero();
            guest.connect();
            assertThat(guest.link().sent()).isNotEmpty();
            guest.close();
        }
    }

    @Test
    void aGuestThatIsDestroyedUnderTrafficLeavesNothing() throws Exception {
        try (NetMachine machine = new NetMachine(dir, NetOptions.usual())) {
            Holding before = new Holding(0, 0, 0);
            for (int i = 0; i < 12; i++) {
                Domain domain = machine.guest(1);
                HostileNetGuest guest = new HostileNetGuest(machine, domain).connect();
                startTraffic(guest, 50);
                domain.close();
                machine.toolstack.detach(NetMachine.vif(1), true);
                machine.toolstack.removeHome(1);
                guest.close();
                Await.until(
                        () -> machine.backend().interfaces().isEmpty(),
                        () -> "interfaces " + machine.backend().interfaces());
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
    void aBackendThatEndsUnderTrafficLeavesNothing() throws Exception {
        try (NetMachine machine = new NetMachine(dir, NetOptions.usual())) {
            HostileNetGuest guest = new HostileNetGuest(machine, machine.guest(1)).connect();
            startTraffic(guest, 50);
            machine.restartBackend();
            assertThat(machine.xen.domain0().mappedGrants()).isZero();
            assertThat(machine.xen.domain0().openPorts()).isZero();
            assertThat(guest.backendState()).isEqualTo(XenbusState.CONNECTED);
            guest.takeBack();
            guest.state(XenbusState.CLOSED);
            guest.awaitBackend(XenbusState.CLOSED);
            guest.state(XenbusState.INITIALISING);
            guest.connect();
            assertThat(guest.works()).isTrue();
            guest.close();
        }
    }

    /** XSA-350: the frontend toggles between connected and closed as fast as it can under traffic. */
    @Test
    void aFrontendThatTogglesItsStateGetsNoStaleSession() throws Exception {
        try (NetMachine machine = new NetMachine(dir, NetOptions.usual())) {
            Domain domain = machine.guest(1);
            HostileNetGuest guest = new HostileNetGuest(machine, domain).connect();
            for (int i = 0; i < 200; i++) {
                guest.put(new Slot(0, 0, 0, 100));
                guest.publishTx();
                guest.state(
                        switch (i % 4) {
                            case 0 -> XenbusState.CLOSING;
                            case 1 -> XenbusState.CLOSED;
                            case 2 -> XenbusState.INITIALISING;
                            default -> XenbusState.INITIALISED;
                        });
            }
            guest.state(XenbusState.CLOSED);
            guest.awaitBackend(XenbusState.CLOSED);
            guest.takeBack();
            assertThat(domain.pinnedGrants()).isZero();
            assertThat(machine.xen.domain0().mappedGrants()).isZero();
            guest.state(XenbusState.INITIALISING);
            guest.connect();
            guest.close();
        }
    }
}
