package xenback.block.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.block.GuestIo;
import xenback.block.LogRecords;
import xenback.block.Machine;
import xenback.block.disk.FileDisk.Options;
import xenback.block.frontend.Xbd;
import xenback.block.protocol.Abi;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.EventLoop;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.io.NativeFile;

/** Files and block devices as they are found on real machines: loop devices, mounts and full file systems. Needs root. */
class FileDiskTest {
    private static final int MIB = 1 << 20;
    private static final Options WRITABLE = new Options(false, false, false);
    private static final Options READ_ONLY = new Options(true, false, false);

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

    private static void assertRefused(Errno errno, String words, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        XenException.class, e -> assertThat(e.errno()).isEqualTo(errno))
                .hasMessageContaining(words);
    }

    /** Writes and reads through a queue of its own, and gives back what a whole read finds. */
    private static byte[] roundTrip(FileDisk disk, Engine engine, int offset, byte[] bytes) throws Exception {
        try (EventLoop loop = EventLoop.start("disk", engine);
                GuestIo io = new GuestIo(disk, loop)) {
            assertThat(io.write(offset, bytes)).isZero();
            assertThat(io.flush()).isZero();
            return io.read(offset, bytes.length);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void servesABlockDevice(Engine engine) throws Exception {
        Path image = stores.image("disk.img", 4 * MIB);
        Path device = stores.loopDevice(image);
        byte[] bytes = new byte[64 * 1024];
        new Random(1).nextBytes(bytes);
        for (boolean direct : new boolean[] {false, true}) {
            try (FileDisk disk = FileDisk.open(device, new Options(false, direct, false))) {
                assertThat(disk.sizeBytes()).isEqualTo(4 * MIB);
                assertThat(disk.logicalBlockBytes()).isEqualTo(512);
                assertThat(disk.isDirect()).isEqualTo(direct);
                assertThat(disk.name()).isEqualTo(device.toString());
                assertThat(roundTrip(disk, engine, direct ? 8192 : 1536, bytes)).isEqualTo(bytes);
            }
        }
        Stores.run("blockdev", "--flushbufs", device.toString());
        byte[] content = Files.readAllBytes(image);
        assertThat(Arrays.copyOfRange(content, 8192, 8192 + bytes.length)).isEqualTo(bytes);
    }

    @Test
    void refusesAMountedDevice() throws Exception {
        Path device = stores.loopDevice(stores.image("disk.img", 8 * MIB));
        Stores.run("mkfs.ext4", "-q", device.toString());
        stores.mount(device);
        assertRefused(Errno.EBUSY, "mounted or in use", () -> FileDisk.open(device, WRITABLE));
        stores.undoLast();
        FileDisk.open(device, WRITABLE).close();
    }

    @Test
    void refusesTheSecondWriterOfADevice() throws Exception {
        Path device = stores.loopDevice(stores.image("disk.img", MIB));
        try (FileDisk first = FileDisk.open(device, WRITABLE)) {
            assertRefused(Errno.EBUSY, device.toString(), () -> FileDisk.open(device, WRITABLE));
            assertThat(first.readOnly()).isFalse();
        }
        FileDisk.open(device, WRITABLE).close();
    }

    @Test
    void refusesToWriteAnImageUnderALoopDevice() throws Exception {
        Path image = stores.image("disk.img", MIB);
        Path device = stores.loopDevice(image);
        assertRefused(
                Errno.EBUSY,
                image + ": in use as " + device + "; detach it (losetup -d " + device + ")",
                () -> FileDisk.open(image, WRITABLE));
        FileDisk.open(image, READ_ONLY).close();
        stores.undoLast();
        FileDisk.open(image, WRITABLE).close();
    }

    @Test
    void letsReadersShareAndAWriterBeAlone() throws Exception {
        Path image = stores.image("disk.img", MIB);
        try (FileDisk first = FileDisk.open(image, READ_ONLY);
                FileDisk second = FileDisk.open(image, READ_ONLY)) {
            assertThat(first.readOnly()).isTrue();
            assertThat(second.canFlush()).isFalse();
            assertRefused(Errno.EBUSY, "in use", () -> FileDisk.open(image, WRITABLE));
        }
        try (FileDisk writer = FileDisk.open(image, WRITABLE)) {
            assertThat(writer.canFlush()).isTrue();
            assertRefused(Errno.EBUSY, "in use", () -> FileDisk.open(image, WRITABLE));
            assertRefused(Errno.EBUSY, "in use", () -> FileDisk.open(image, READ_ONLY));
        }
        FileDisk.open(image, WRITABLE).close(); // the locks went with their owners
    }

    @Test
    void opensAReadOnlyDiskWithoutTheRightToWrite() throws Exception {
        Path image = stores.image("disk.img", MIB);
        try (FileDisk disk = FileDisk.open(image, READ_ONLY);
                EventLoop loop = EventLoop.start("disk", Engine.URING);
                GuestIo io = new GuestIo(disk, loop)) {
            assertThat(io.write(0, new byte[512])).isEqualTo(-Errno.EBADF.number());
            assertThat(io.read(0, 512)).isEqualTo(new byte[512]);
        }
    }

    /** A thin image on a file system that runs full: the guest sees errors, not a hang, and then its disk again. */
    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void failsWritesWithoutSpaceAndWorksAgainWhenThereIsSome(Engine engine) throws Exception {
        Path small = stores.mount("tmpfs", "size=1m");
        Path image = Machine.image(small.resolve("disk.img"), 4 * MIB); // sparse
        Path ballast = small.resolve("ballast");
        Files.write(ballast, new byte[512 * 1024]);
        byte[] bytes = new byte[MIB];
        Arrays.fill(bytes, (byte) 0x42);
        try (LogRecords log = new LogRecords();
                Machine machine = new Machine(dir, engine)) {
            Xbd xbd = machine.attach(machine.guest(1), 51712, image, "w", Abi.X86_64);
            try (GuestIo io = new GuestIo(xbd, xbd.loop())) {
                assertThat(io.write(0, bytes)).isEqualTo(-Errno.EIO.number());
                assertThat(io.write(MIB, bytes)).isEqualTo(-Errno.EIO.number());
                assertThat(machine.backend().devices().getFirst().counters().errors())
                        .isPositive();
                assertThat(log.lines())
                        .containsExactly(
                                image + ": no space left for it on its file system; its guest's writes fail until there"
                                        + " is");
                Files.delete(ballast);
                byte[] page = Arrays.copyOf(bytes, 4096);
                assertThat(io.write(4096, page)).isZero();
                assertThat(io.flush()).isZero();
                assertThat(io.read(4096, 4096)).isEqualTo(page);
                assertThat(io.read(3 * MIB, 4096)).isEqualTo(new byte[4096]);
            }
            assertThat(log.faults()).isEmpty();
        }
    }

    @Test
    void refusesWhatIsNoDisk() throws Exception {
        assertRefused(Errno.ENOENT, "there is no such file", () -> FileDisk.open(dir.resolve("nothing"), WRITABLE));
        assertRefused(Errno.EISDIR, "a directory", () -> FileDisk.open(dir, WRITABLE));
        assertRefused(Errno.EISDIR, "a directory", () -> FileDisk.open(dir, READ_ONLY));
        Path fifo = dir.resolve("fifo");
        Stores.run("mkfifo", fifo.toString());
        assertRefused(Errno.EINVAL, "neither an image file nor a block device", () -> FileDisk.open(fifo, WRITABLE));
        assertRefused(
                Errno.EINVAL,
                "neither an image file nor a block device",
                () -> FileDisk.open(Path.of("/dev/zero"), WRITABLE));
        Path empty = Files.createFile(dir.resolve("empty"));
        assertRefused(Errno.EINVAL, "is empty", () -> FileDisk.open(empty, WRITABLE));
    }

    /** Opening a fifo for reading blocks until there is a writer: a disk's path must not hang the device for ever. */
    @Test
    void doesNotWaitForTheWriterOfAFifo() throws Exception {
        Path fifo = dir.resolve("fifo");
        Stores.run("mkfifo", fifo.toString());
        Thread opening = Thread.ofPlatform()
                .daemon()
                .start(() -> assertRefused(
                        Errno.EINVAL,
                        "neither an image file nor a block device",
                        () -> FileDisk.open(fifo, READ_ONLY)));
        opening.join(10_000);
        boolean waits = opening.isAlive();
        if (waits) {
            Files.write(fifo, new byte[0]); // lets it go, so that only this test fails
        }
        assertThat(waits).isFalse();
    }

    @Test
    void refusesSizesThatAreNoWholeSectors() throws Exception {
        for (int size : new int[] {1, 511, 513, 4097}) {
            Path image = stores.image("odd" + size, size);
            assertRefused(Errno.EINVAL, "truncate -s %512 " + image, () -> FileDisk.open(image, WRITABLE));
        }
        try (FileDisk smallest = FileDisk.open(stores.image("one", 512), WRITABLE)) {
            assertThat(smallest.sizeBytes()).isEqualTo(512);
        }
    }

    @Test
    void failsOnlyWhatLiesBeyondAnImageThatShrank() throws Exception {
        Path image = stores.image("disk.img", MIB);
        try (LogRecords log = new LogRecords();
                FileDisk disk = FileDisk.open(image, WRITABLE);
                EventLoop loop = EventLoop.start("disk", Engine.URING);
                GuestIo io = new GuestIo(disk, loop);
                NativeFile file = NativeFile.open(image, NativeFile.Mode.WRITE)) {
            file.resize(6144);
            assertThat(io.readResult(4096, 4096)).as("half of it is there").isEqualTo(-Errno.EIO.number());
            assertThat(io.readResult(8192, 4096)).isEqualTo(-Errno.EIO.number());
            assertThat(io.read(4096, 2048)).isEqualTo(new byte[2048]);
            assertThat(log.lines()).as("said once").hasSize(1);
            file.resize(MIB);
            assertThat(io.read(8192, 4096)).isEqualTo(new byte[4096]);
        }
    }

    /** A device's file lies on a devtmpfs, which calls itself a tmpfs: reading it inline would hold up the loop. */
    @Test
    void doesNotTakeADeviceForAFileInMemory() throws Exception {
        try (NativeFile device = NativeFile.open(stores.loopDevice(stores.image("disk.img", MIB)))) {
            assertThat(device.inMemory()).isFalse();
        }
    }

    @Test
    void namesTheDeviceOfAPathAsTheKernelDoes() throws Exception {
        Path device = stores.loopDevice(stores.image("disk.img", MIB));
        int number = Integer.parseInt(device.getFileName().toString().substring("loop".length()));
        assertThat(NativeFile.deviceOf(device)).isEqualTo(7L << 8 | number); // loop devices have major 7
        try (NativeFile file = NativeFile.open(device)) {
            assertThat(file.status().device()).isEqualTo(NativeFile.deviceOf(device));
        }
        assertThat(NativeFile.deviceOf(dir.resolve("disk.img")))
                .isEqualTo(Long.parseLong(Stores.run("stat", "-c", "%d", dir.toString())));
        assertThat(NativeFile.deviceOf(dir.resolve("nothing"))).isZero();
    }
}
