package xenback.block.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import xenback.block.GuestIo;
import xenback.block.LogRecords;
import xenback.block.disk.FileDisk.Options;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.EventLoop;
import xenback.xen.io.EventLoop.Engine;

/** Stores that grow and shrink while they are open. Needs root. */
class FileDiskSizeTest {
    private static final int MIB = 1 << 20;
    private static final Options WRITABLE = new Options(false, false, false);

    @TempDir
    private Path dir;

    private Stores stores;

    @BeforeEach
    void openStores() {
        stores = new Stores(dir);
    }

    @AfterEach
    void undoStores() throws Exception {
        stores.undoAll();
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void growsWithItsFileWhenAsked(Engine engine) throws Exception {
        Path image = stores.image("disk.img", MIB);
        try (FileDisk disk = FileDisk.open(image, WRITABLE);
                EventLoop loop = EventLoop.start("disk", engine);
                GuestIo io = new GuestIo(disk, loop)) {
            assertThat(disk.refreshSize(false)).as("nothing has changed").isFalse();
            resize(image, 3 * MIB);
            assertThat(disk.sizeBytes()).as("not asked yet").isEqualTo(MIB);
            assertThat(io.discard(2 * MIB, MIB, false)).isEqualTo(-Errno.EIO.number());

            assertThat(disk.refreshSize(false)).isTrue();
            assertThat(disk.sizeBytes()).isEqualTo(3 * MIB);
            assertThat(io.discard(2 * MIB, MIB, false)).isZero();
            assertThat(io.write(2 * MIB, new byte[4096])).isZero();
            assertThat(disk.refreshSize(true)).isFalse();
        }
    }

    @Test
    void growsWithItsLoopDevice() throws Exception {
        Path image = stores.image("disk.img", MIB);
        Path device = stores.loopDevice(image);
        try (FileDisk disk = FileDisk.open(device, WRITABLE)) {
            resize(image, 2 * MIB);
            assertThat(disk.refreshSize(false)).as("the device has not noticed").isFalse();
            Stores.run("losetup", "-c", device.toString());
            assertThat(disk.refreshSize(false)).isTrue();
            assertThat(disk.sizeBytes()).isEqualTo(2 * MIB);
        }
    }

    @Test
    void shrinksWithItsLoopDeviceOnlyIfItMay() throws Exception {
        Path image = stores.image("disk.img", 2 * MIB);
        Path device = stores.loopDevice(image);
        try (LogRecords log = new LogRecords();
                FileDisk disk = FileDisk.open(device, WRITABLE)) {
            resize(image, MIB);
            Stores.run("losetup", "-c", device.toString());
            assertThat(disk.refreshSize(false)).isFalse();
            assertThat(disk.sizeBytes()).isEqualTo(2 * MIB);
            assertThat(log.lines()).hasSize(1);
            assertThat(disk.refreshSize(true)).isTrue();
            assertThat(disk.sizeBytes()).isEqualTo(MIB);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void keepsItsSizeForAShorterFileAndSaysSoOnce(Engine engine) throws Exception {
        Path image = stores.image("disk.img", 2 * MIB);
        try (LogRecords log = new LogRecords();
                FileDisk disk = FileDisk.open(image, WRITABLE);
                EventLoop loop = EventLoop.start("disk", engine);
                GuestIo io = new GuestIo(disk, loop)) {
            resize(image, MIB);
            assertThat(disk.refreshSize(false)).isFalse();
            assertThat(disk.refreshSize(false)).isFalse();
            assertThat(disk.sizeBytes()).isEqualTo(2 * MIB);
            assertThat(io.readResult(MIB, 4096)).isEqualTo(-Errno.EIO.number());
            String line = image + ": shorter than the 2097152 bytes that its guest was given; its requests beyond the"
                    + " end fail until the file has that size again";
            assertThat(log.lines()).containsExactly(line);

            resize(image, 2 * MIB);
            assertThat(disk.refreshSize(false)).isFalse();
            assertThat(io.readResult(MIB, 4096)).isZero();
            resize(image, MIB);
            assertThat(disk.refreshSize(false)).isFalse();
            assertThat(log.lines()).as("once each time").containsExactly(line, line);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void takesNothingBeyondASmallerSizeThatItAdopted(Engine engine) throws Exception {
        Path image = stores.image("disk.img", 2 * MIB);
        try (LogRecords log = new LogRecords();
                FileDisk disk = FileDisk.open(image, WRITABLE);
                EventLoop loop = EventLoop.start("disk", engine);
                GuestIo io = new GuestIo(disk, loop)) {
            resize(image, MIB);
            assertThat(disk.refreshSize(true)).isTrue();
            assertThat(disk.sizeBytes()).isEqualTo(MIB);
            assertThat(io.writeZeroes(MIB, 4096, true)).isEqualTo(-Errno.EIO.number());
            assertThat(io.readResult(0, MIB)).isZero();
            assertThat(log.lines()).isEmpty();
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 511, MIB + 1})
    void keepsItsSizeForOneThatIsNoDisks(long sizeBytes) throws Exception {
        Path image = stores.image("disk.img", MIB);
        try (FileDisk disk = FileDisk.open(image, WRITABLE)) {
            resize(image, sizeBytes);
            assertThatThrownBy(() -> disk.refreshSize(true))
                    .isInstanceOfSatisfying(
                            XenException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EINVAL))
                    .hasMessageStartingWith(image + ": ");
            assertThat(disk.sizeBytes()).isEqualTo(MIB);
        }
    }

    private static void resize(Path image, long sizeBytes) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(sizeBytes);
        }
    }
}
