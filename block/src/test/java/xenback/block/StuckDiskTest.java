package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.block.backend.BlockOptions;
import xenback.block.disk.DiskSource;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.xen.bus.XenbusState;
import xenback.xen.io.EventLoop.Engine;

/** A disk that does not answer holds up its own guest, which has to wait for it, and nobody else. */
class StuckDiskTest {
    private static final int XVDA = 51712;

    @TempDir
    private Path dir;

    private static void closeWithAWriteUnderWay(HostileFrontend guest, HeldDisk disk) throws Exception {
        guest.connect();
        guest.send(guest.request(Blkif.OP_WRITE, 0));
        disk.awaitStarted(1);
        guest.state(XenbusState.CLOSED);
    }

    @Test
    void othersComeAndGoWhileOneWaitsForItsDisk() throws Exception {
        HeldDisk disk = new HeldDisk(1 << 20);
        DiskSource disks =
                (target, options) -> target.equals("/held") ? disk : DiskSource.TARGETS.open(target, options);
        try (Machine machine = new Machine(dir, Engine.URING, BlockOptions.usual(), disks);
                HostileFrontend stuck =
                        new HostileFrontend(machine, machine.guest(1), XVDA, Path.of("/held"), "w", Abi.X86_64)) {
            closeWithAWriteUnderWay(stuck, disk);

            Path image = Machine.image(dir.resolve("other.img"), 1 << 20);
            try (HostileFrontend other = new HostileFrontend(machine, machine.guest(2), XVDA, image, "w", Abi.X86_64)) {
                for (int i = 0; i < 20; i++) {
                    other.connect();
                    assertThat(other.works()).isTrue();
                    other.reset();
                }
            }

            assertThat(stuck.backendState())
                    .as("not closed while the write is under way")
                    .isNotEqualTo(XenbusState.CLOSED);
            disk.release();
            stuck.awaitBackend(XenbusState.CLOSED);
            stuck.takeBack();
        }
    }

    /** Linux' blkfront does so, and waits for the answers for ever. */
    @Test
    void servesWhatAGuestPutsOnTheRingAfterItHasClosed() throws Exception {
        HeldDisk disk = new HeldDisk(1 << 20);
        try (Machine machine = new Machine(dir, Engine.URING, BlockOptions.usual(), (target, options) -> disk);
                HostileFrontend guest =
                        new HostileFrontend(machine, machine.guest(1), XVDA, Path.of("/held"), "w", Abi.X86_64)) {
            closeWithAWriteUnderWay(guest, disk);
            Thread.sleep(200); // for a backend that takes nothing more
            guest.send(guest.request(Blkif.OP_WRITE, 0));
            try {
                disk.awaitStarted(2);
            } finally {
                disk.release();
            }

            guest.awaitBackend(XenbusState.CLOSED);
            assertThat(guest.counters().requests()).isEqualTo(2);
            assertThat(guest.counters().inFlight()).isZero();
            guest.takeBack();
        }
    }
}
