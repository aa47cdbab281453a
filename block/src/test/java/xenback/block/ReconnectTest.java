package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.block.backend.BlockEvent;
import xenback.block.protocol.Abi;
import xenback.xen.bus.XenbusState;
import xenback.xen.io.EventLoop.Engine;

/** A frontend makes a new ring whenever it likes, and the backend follows: the old one is given back, the new one served. */
class ReconnectTest {
    @TempDir
    private Path dir;

    private Machine machine;
    private HostileFrontend frontend;

    @BeforeEach
    void connect() throws Exception {
        machine = new Machine(dir, Engine.URING);
        Path image = Machine.image(dir.resolve("disk.img"), 1 << 20);
        frontend = new HostileFrontend(machine, machine.guest(1), 51712, image, "w", Abi.X86_64);
        frontend.connect();
        assertThat(frontend.works()).isTrue();
    }

    @AfterEach
    void close() {
        frontend.close();
        machine.close();
    }

    private void awaitConnections(int count) throws Exception {
        Await.until(
                () -> machine.events.stream()
                                .filter(BlockEvent.Connected.class::isInstance)
                                .count()
                        == count,
                () -> count + " connections, there are " + machine.events);
    }

    /** Resume on the same host, a checkpoint: blkfront goes from 4 to 3 with a new ring while the backend is at 4. */
    @Test
    void servesTheNewRingOfAFrontendThatResumes() throws Exception {
        int mapped = machine.xen.domain0().mappedGrants();
        for (int count = 2; count <= 4; count++) {
            frontend.prepare();
            frontend.publish();
            frontend.state(XenbusState.INITIALISED);
            awaitConnections(count);
            frontend.awaitBackend(XenbusState.CONNECTED);
            frontend.state(XenbusState.CONNECTED);
            assertThat(frontend.works()).isTrue();
            assertThat(machine.xen.domain0().mappedGrants()).isEqualTo(mapped);
            assertThat(machine.xen.domain0().openPorts()).isEqualTo(1);
        }
    }

    /** kexec: the new kernel begins with 1 and finds the old one's connection. */
    @Test
    void servesAKernelThatComesWithoutAWord() throws Exception {
        frontend.state(XenbusState.INITIALISING);
        frontend.awaitBackend(XenbusState.INIT_WAIT);
        frontend.takeBack();
        frontend.connect();
        assertThat(frontend.works()).isTrue();
    }

    /** GRUB says 6 without a 5 before it. */
    @Test
    void servesTheKernelAfterTheBootLoader() throws Exception {
        frontend.reset();
        frontend.connect();
        assertThat(frontend.works()).isTrue();
    }
}
