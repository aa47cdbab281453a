package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.block.backend.BlockOptions;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.xen.io.EventLoop.Engine;

/** How a frontend sees the answers to requests that end in one turn of the backend's loop. */
class PushTest {
    private static final int REQUESTS = 16;

    /** Of the ring's page, the consumer at which the frontend wants an event (ring.h). */
    private static final long RSP_EVENT = 12;

    @TempDir
    private Path dir;

    private final HeldDisk disk = new HeldDisk(1 << 20);
    private Machine machine;
    private HostileFrontend frontend;

    @BeforeEach
    void fillTheRing() throws Exception {
        machine = new Machine(dir, Engine.URING, BlockOptions.usual(), (target, options) -> disk);
        frontend = new HostileFrontend(machine, machine.guest(1), 51712, Path.of("/held"), "w", Abi.X86_64);
        frontend.connect();
        for (int i = 0; i < REQUESTS; i++) {
            frontend.send(frontend.request(Blkif.OP_WRITE, 8L * i));
        }
        disk.awaitStarted(REQUESTS);
    }

    @AfterEach
    void close() {
        frontend.close();
        machine.close();
    }

    @Test
    void answersOfATurnAreShownTogetherWithOneEvent() throws Exception {
        List<Integer> shown = new CopyOnWriteArrayList<>();
        disk.endTogether(REQUESTS, () -> shown.add(frontend.rspProd()));
        frontend.awaitAnswers();
        assertThat(shown).hasSize(REQUESTS).containsOnly(0);
        awaitNotification();
    }

    @Test
    void sendsNoEventThatTheFrontendDoesNotAskFor() throws Exception {
        frontend.ring().set(ValueLayout.JAVA_INT, RSP_EVENT, REQUESTS + 1);
        disk.endTogether(REQUESTS, () -> {});
        frontend.awaitAnswers();
        frontend.send(frontend.request(Blkif.OP_WRITE, 0)); // its answer is the one that an event was asked for
        disk.awaitStarted(REQUESTS + 1);
        disk.end(REQUESTS, 0);
        frontend.awaitAnswers();
        awaitNotification();
    }

    /** Counted after the push by which a test sees the answers. */
    private void awaitNotification() throws Exception {
        Await.until(() -> frontend.counters().notifications() > 0, () -> "a notification");
        assertThat(frontend.counters().notifications()).isEqualTo(1);
    }
}
