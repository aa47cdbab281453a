package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.block.backend.BlockOptions;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifRequest;
import xenback.xen.grant.GrantCopyBatch;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.io.LoopSource;
import xenback.xen.testing.HookedXen;

/**
 * When the backend looks at a ring, and when it says that it will not look any more: no request is left lying there, and no
 * event is taken that is not needed. The frontend acts amid the backend's turn, at moments that it else would meet by luck.
 */
class SweepTest {
    private static final int DISK_BYTES = 4 << 20;

    /** Segments that together with others like it fill the pool of a ring of one page, 1024 pages, and leave nothing over. */
    private static final int QUARTER_OF_POOL = 256;

    @TempDir
    private Path dir;

    private final HeldDisk disk = new HeldDisk(DISK_BYTES);
    private Machine machine;
    private HookedXen xen;
    private HostileFrontend frontend;

    /** What the frontend had asked for and sent each time events were let through, from its connection on. */
    private final List<String> unmasked = new CopyOnWriteArrayList<>();

    @BeforeEach
    void start() throws Exception {
        BlockOptions options = new BlockOptions(0, 1, QUARTER_OF_POOL, false, false, false);
        machine = new Machine(dir, Engine.URING, options, (target, how) -> disk, LoopSource.own(Engine.URING), port -> {
            xen = new HookedXen(port);
            return xen;
        });
        frontend = new HostileFrontend(machine, machine.guest(1), 51712, Path.of("/held"), "w", Abi.X86_64);
        xen.beforeUnmask(port -> unmasked.add(frontend.reqEvent() + " after " + frontend.reqProd()));
        frontend.connect();
    }

    @AfterEach
    void close() {
        disk.release();
        frontend.close();
        machine.close();
    }

    private BlkifRequest write(int segments) {
        BlkifRequest request = new BlkifRequest();
        request.compose(Blkif.OP_WRITE, frontend.reqProd(), 0);
        for (int i = 0; i < segments; i++) {
            request.addSegment(frontend.gref(i % 16), 0, 7);
        }
        return request;
    }

    /** Sends a write of 256 pages, whose descriptors are in the last of the payload pages. */
    private void sendQuarterOfPool() {
        frontend.sendAsAgreed(write(QUARTER_OF_POOL), HostileRing.PAYLOAD_PAGES - 1);
    }

    private void awaitTaken(int requests) throws Exception {
        Await.until(
                () -> frontend.counters().requests() == requests,
                () -> requests + " requests, taken are " + frontend.counters().requests());
    }

    /** As it is between a look at the producer's counter and the wish for an event: the frontend sends none. */
    @Test
    void takesARequestThatComesWhileTheBackendStopsLooking() throws Exception {
        for (int i = 0; i < 4; i++) {
            sendQuarterOfPool();
        }
        disk.awaitStarted(4);
        frontend.sendAsAgreed(write(1));
        Await.until(() -> frontend.counters().parked() == 1, () -> "a request without room");
        List<Boolean> events = new CopyOnWriteArrayList<>();
        xen.beforeCopy(batch -> {
            if (events.isEmpty()) {
                events.add(frontend.sendAsAgreed(write(0)));
            }
        });
        disk.end(0, 0); // makes room, and the look that starts the fifth finds no sixth
        awaitTaken(6);
        assertThat(events).as("no event was asked for").containsExactly(false);
    }

    /** What found room may use up a burst by itself; requests behind it are not forgotten. */
    @Test
    void takesWhatLayBehindALargeRequestWithoutRoom() throws Exception {
        for (int i = 0; i < 5; i++) {
            sendQuarterOfPool();
        }
        Await.until(() -> frontend.counters().parked() == 1, () -> "a request without room");
        assertThat(frontend.sendAsAgreed(write(1))).as("an event was asked for").isFalse();
        disk.end(0, 0); // makes room for the fifth, which is a burst
        awaitTaken(6);
    }

    @Test
    void asksForTheNextEventBeforeItLetsEventsThrough() throws Exception {
        disk.release();
        // The look at the ring that every connection begins with has to be over when the first request comes.
        Await.until(() -> unmasked.contains("1 after 0"), () -> "the first look, unmasked were " + unmasked);
        for (int i = 1; i <= 3; i++) {
            frontend.ask(frontend.request(Blkif.OP_WRITE, 0));
            String armed = i + 1 + " after " + i;
            Await.until(() -> unmasked.contains(armed), () -> armed + ", unmasked were " + unmasked);
        }
        assertThat(unmasked).isSubsetOf("1 after 0", "2 after 1", "3 after 2", "4 after 3");
    }

    @Test
    void letsNoEventThroughWhileEachLookFindsRequests() throws Exception {
        AtomicInteger left = new AtomicInteger(100);
        List<Integer> unmasked = new CopyOnWriteArrayList<>();
        xen.beforeUnmask(port -> unmasked.add(left.get()));
        xen.beforeCopy(batch -> {
            if (left.decrementAndGet() >= 0) {
                frontend.send(write(1)); // with an event each time, asked for or not
            }
        });
        disk.release();
        frontend.send(write(1));
        awaitTaken(101);
        Await.until(() -> !unmasked.isEmpty(), () -> "the end of it");
        assertThat(unmasked.getFirst()).as("requests that were to come").isNegative();
    }

    /** So that bytes go on while they are in the cache, and a guest with a full ring does not hold up others on the loop. */
    @Test
    void takesABurstAtATime() throws Exception {
        List<Integer> bytes = new CopyOnWriteArrayList<>();
        xen.beforeCopy(batch -> bytes.add(bytesOf(batch)));
        disk.release();
        BlkifRequest[] requests = new BlkifRequest[HostileRing.SLOTS];
        for (int i = 0; i < requests.length; i++) {
            requests[i] = write(11);
        }
        frontend.sendTogether(requests);
        awaitTaken(requests.length);
        frontend.awaitAnswers();
        assertThat(bytes).allSatisfy(copied -> assertThat(copied).isBetween(1, (256 + 44) << 10));
        assertThat(bytes.stream().mapToInt(Integer::intValue).sum()).isEqualTo(requests.length * 44 << 10);
    }

    private static int bytesOf(GrantCopyBatch batch) {
        int bytes = 0;
        for (int i = 0; i < batch.count(); i++) {
            bytes += batch.length(i);
        }
        return bytes;
    }
}
