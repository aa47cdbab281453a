package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.block.backend.BlockOptions;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifRequest;
import xenback.xen.Errno;
import xenback.xen.embedded.Domain;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.store.StorePath;

/** What a write barrier, a flush with payload and a discard do to a disk, seen at the disk, whose operations a test ends. */
class OrderedRequestTest {
    private static final int XVDA = 51712;

    @TempDir
    private Path dir;

    private final HeldDisk disk = new HeldDisk(1 << 20);
    private Machine machine;
    private Domain guest;
    private HostileFrontend frontend;

    @BeforeEach
    void connect() throws Exception {
        machine = new Machine(dir, Engine.URING, BlockOptions.usual(), (target, options) -> disk);
        guest = machine.guest(1);
        frontend = new HostileFrontend(machine, guest, XVDA, Path.of("/held"), "w", Abi.X86_64);
        frontend.connect();
    }

    @AfterEach
    void close() {
        disk.release();
        frontend.close();
        machine.close();
    }

    private BlkifRequest write(int page, long sector) {
        BlkifRequest request = new BlkifRequest();
        request.compose(Blkif.OP_WRITE, sector, sector);
        frontend.page(page).set(ValueLayout.JAVA_BYTE, 0, (byte) page);
        request.addSegment(frontend.gref(page), 0, 7);
        return request;
    }

    private BlkifRequest ordered(int operation, int page, long sector) {
        BlkifRequest request = new BlkifRequest();
        request.compose(operation, sector, sector);
        if (page > 0) {
            frontend.page(page).set(ValueLayout.JAVA_BYTE, 0, (byte) page);
            request.addSegment(frontend.gref(page), 0, 7);
        }
        return request;
    }

    @Test
    void aBarrierWaitsForThoseBeforeItAndHoldsThoseAfterIt() throws Exception {
        frontend.send(write(1, 8));
        frontend.send(write(2, 16));
        frontend.send(ordered(Blkif.OP_WRITE_BARRIER, 3, 24));
        frontend.send(write(4, 32));
        frontend.send(write(5, 40));
        disk.awaitStarted(2);
        disk.end(1, 0);
        Await.until(() -> frontend.rspProd() == 1, () -> "one answer");
        assertThat(disk.started)
                .as("one of those before it is not done")
                .containsExactly("write 4096+4096 of 1", "write 8192+4096 of 2");
        disk.end(0, 0);
        disk.awaitStarted(3);
        assertThat(disk.started.subList(2, disk.started.size()))
                .as("what was before it is made durable first")
                .containsExactly("flush");
        disk.end(2, 0);
        disk.awaitStarted(4);
        assertThat(disk.started.subList(3, disk.started.size())).containsExactly("write 12288+4096 of 3");
        disk.end(3, 0);
        disk.awaitStarted(5);
        assertThat(disk.started.subList(4, disk.started.size()))
                .as("it is durable itself before it is answered")
                .containsExactly("flush");
        assertThat(frontend.rspProd()).isEqualTo(2);
        disk.end(4, 0);
        disk.awaitStarted(7);
        assertThat(disk.started.subList(5, 7)).containsExactly("write 16384+4096 of 4", "write 20480+4096 of 5");
        assertThat(frontend.rspProd()).isEqualTo(3);
        disk.end(5, 0);
        disk.end(6, 0);
        frontend.awaitAnswers();
        assertThat(frontend.counters().barriers()).isEqualTo(1);
        assertThat(frontend.counters().writes()).isEqualTo(4);
    }

    /** Its segments come over later than the barrier is taken. */
    @Test
    void aBarrierWaitsForAnIndirectWriteBeforeIt() throws Exception {
        frontend.sendTogether(indirect(Blkif.OP_WRITE, 0, 12, 20), bytes(ordered(Blkif.OP_WRITE_BARRIER, 3, 800)));
        disk.awaitStarted(1);
        Await.until(() -> frontend.counters().requests() == 2, () -> "both are taken");
        assertThat(disk.started).containsExactly("write 0+49152 of 0");
        disk.end(0, 0);
        disk.awaitStarted(2);
        assertThat(disk.started.get(1)).isEqualTo("flush");
        disk.doneAtOnce = "flush";
        disk.end(1, 0);
        disk.awaitStarted(3);
        disk.end(2, 0);
        frontend.awaitAnswers();
    }

    /** A pool of 1024 pages holds four of 255; the fifth waits, and the sixth behind it, though there is room for its one. */
    @Test
    void aLargeRequestThatWaitsForRoomIsNotOvertaken() throws Exception {
        disk.sizeBytes = 4 << 20;
        frontend.sendTogether(
                indirect(Blkif.OP_READ, 0, 255, 20),
                indirect(Blkif.OP_READ, 8, 255, 21),
                indirect(Blkif.OP_READ, 16, 255, 22),
                indirect(Blkif.OP_READ, 24, 255, 23),
                indirect(Blkif.OP_READ, 32, 255, 24),
                indirect(Blkif.OP_READ, 40, 1, 25));
        Await.until(
                () -> frontend.counters().parked() == 2,
                () -> "two that wait, there are " + frontend.counters().parked());
        assertThat(disk.started).hasSize(4);
        disk.end(0, 0);
        disk.awaitStarted(6);
        assertThat(disk.started.subList(4, 6)).containsExactly("read 16384+1044480", "read 20480+4096");
        for (int i = 1; i < 6; i++) {
            disk.end(i, 0);
        }
        frontend.awaitAnswers();
        assertThat(frontend.counters().reads()).isEqualTo(6);
    }

    /** The bytes of an indirect request, with its descriptors in a payload page; every segment is the first payload page. */
    private MemorySegment indirect(int operation, long sector, int segments, int descriptorPage) {
        BlkifRequest request = new BlkifRequest();
        request.compose(operation, sector, sector);
        for (int i = 0; i < segments; i++) {
            request.addSegment(frontend.gref(0), 0, 7);
        }
        MemorySegment slot = Arena.ofAuto().allocate(112, 8);
        int[] grefs = {frontend.gref(descriptorPage)};
        request.encodeIndirect(slot, Abi.X86_64.layout(), XVDA, frontend.page(descriptorPage), 0, grefs, 0);
        return slot;
    }

    private MemorySegment bytes(BlkifRequest request) {
        MemorySegment slot = Arena.ofAuto().allocate(112, 8);
        request.encode(slot, Abi.X86_64.layout(), XVDA);
        return slot;
    }

    @Test
    void anEmptyBarrierIsAFlushInOrder() throws Exception {
        frontend.send(write(1, 8));
        frontend.send(ordered(Blkif.OP_WRITE_BARRIER, 0, 0));
        frontend.send(write(2, 16));
        disk.awaitStarted(1);
        disk.end(0, 0);
        disk.awaitStarted(2);
        assertThat(disk.started).containsExactly("write 4096+4096 of 1", "flush");
        disk.end(1, 0);
        disk.awaitStarted(3);
        assertThat(disk.started.get(2)).isEqualTo("write 8192+4096 of 2");
        disk.end(2, 0);
        frontend.awaitAnswers();
    }

    @Test
    void barriersInARowAreDoneOneByOne() throws Exception {
        disk.doneAtOnce = "flush";
        for (int page = 1; page <= 5; page++) {
            frontend.send(ordered(Blkif.OP_WRITE_BARRIER, page, 8L * page));
        }
        for (int barrier = 0; barrier < 5; barrier++) {
            disk.awaitStarted(3 * barrier + 2);
            assertThat(disk.started).hasSize(3 * barrier + 2);
            disk.end(3 * barrier + 1, 0);
        }
        frontend.awaitAnswers();
        assertThat(disk.started).hasSize(15).filteredOn("flush"::equals).hasSize(10);
    }

    @Test
    void aFailedBarrierFailsAloneAndTheQueueGoesOn() throws Exception {
        frontend.send(ordered(Blkif.OP_WRITE_BARRIER, 1, 8));
        frontend.send(write(2, 16));
        disk.awaitStarted(1);
        disk.end(0, -Errno.EIO.number());
        disk.awaitStarted(2);
        disk.end(1, 0);
        frontend.awaitAnswers();
        assertThat(frontend.slot(0).get(ValueLayout.JAVA_SHORT, 10)).isEqualTo(Blkif.STATUS_ERROR);
        assertThat(frontend.slot(1).get(ValueLayout.JAVA_SHORT, 10)).isEqualTo(Blkif.STATUS_OKAY);
    }

    @Test
    void aFlushWithPayloadFlushesAndThenWrites() throws Exception {
        frontend.send(ordered(Blkif.OP_FLUSH_DISKCACHE, 3, 8));
        disk.awaitStarted(1);
        assertThat(disk.started).containsExactly("flush");
        disk.end(0, 0);
        disk.awaitStarted(2);
        assertThat(disk.started.get(1)).isEqualTo("write 4096+4096 of 3");
        disk.end(1, 0);
        frontend.awaitAnswers();
    }

    @Test
    void discardsAreHandedOverWithTheirFlag() throws Exception {
        disk.doneAtOnce = "d";
        BlkifRequest plain = ordered(Blkif.OP_DISCARD, 0, 16);
        plain.discard(32, false);
        assertThat(frontend.ask(plain)).isEqualTo(Blkif.STATUS_OKAY);
        disk.doneAtOnce = "secure";
        BlkifRequest secure = ordered(Blkif.OP_DISCARD, 0, 8);
        secure.discard(2040, true);
        assertThat(frontend.ask(secure)).isEqualTo(Blkif.STATUS_OKAY);
        assertThat(disk.started).containsExactly("discard 8192+16384", "secure discard 4096+1044480");
        assertThat(frontend.counters().discards()).isEqualTo(2);
        assertThat(frontend.counters().bytesDiscarded()).isEqualTo(16384 + 1044480);
    }

    /** blkif.h lets a backend say EOPNOTSUPP at any time; Linux' backend takes the feature back then, and so do we. */
    @Test
    void takesBackWhatTheStoreTurnsOutNotToDo() throws Exception {
        disk.doneAtOnce = "d";
        disk.result = -Errno.EOPNOTSUPP.number();
        assertThat(node("feature-discard")).isEqualTo("1");
        BlkifRequest discard = ordered(Blkif.OP_DISCARD, 0, 16);
        discard.discard(32, false);
        assertThat(frontend.ask(discard)).isEqualTo(Blkif.STATUS_EOPNOTSUPP);
        Await.until(() -> node("feature-discard").equals("0"), () -> "feature-discard 0");

        disk.doneAtOnce = "flush";
        assertThat(node("feature-flush-cache")).isEqualTo("1");
        assertThat(frontend.ask(ordered(Blkif.OP_FLUSH_DISKCACHE, 0, 0))).isEqualTo(Blkif.STATUS_EOPNOTSUPP);
        Await.until(
                () -> node("feature-flush-cache").equals("0")
                        && node("feature-barrier").equals("0"),
                () -> "feature-flush-cache and feature-barrier 0");
    }

    /** Linux' blkfront reads the size when the backend's state is written again at 4 (xen_vbd_resize). */
    @Test
    void tellsANewSizeAndWritesItsStateAgain() throws Exception {
        disk.sizeBytes = 2 << 20;
        disk.grown = true;
        Await.until(() -> node("sectors").equals("4096"), () -> "4096 sectors, there are " + node("sectors"));
        assertThat(node("state")).isEqualTo("4");
        disk.doneAtOnce = "read";
        assertThat(frontend.ask(frontend.request(Blkif.OP_READ, 4088))).isEqualTo(Blkif.STATUS_OKAY);
        assertThat(machine.events)
                .extracting(Object::toString)
                .anyMatch(text -> text.startsWith("Resized") && text.contains("sizeBytes=2097152"));
    }

    private String node(String key) throws Exception {
        return machine.xen
                .domain0()
                .store()
                .read(StorePath.of("/local/domain/0/backend/vbd/1/" + XVDA + "/" + key))
                .orElse("");
    }
}
