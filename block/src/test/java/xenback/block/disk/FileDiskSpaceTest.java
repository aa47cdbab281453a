package xenback.block.disk;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.block.GuestIo;
import xenback.block.Machine;
import xenback.block.disk.FileDisk.Options;
import xenback.xen.Errno;
import xenback.xen.io.Completion;
import xenback.xen.io.EventLoop;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.io.ScatterList;

/** Discard and zeroes on files and devices that can do both, one of them or none. Needs root. */
class FileDiskSpaceTest {
    private static final int MIB = 1 << 20;
    private static final int EIO = -Errno.EIO.number();
    private static final int EOPNOTSUPP = -Errno.EOPNOTSUPP.number();
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
    void discardGivesBackTheSpaceOfAnImage(Engine engine) throws Exception {
        Path image = full(stores.mountExt4(32 * MIB, 4096).resolve("disk.img"), 8 * MIB);
        byte[] expected = Files.readAllBytes(image);
        try (Used used = new Used(image, WRITABLE, engine)) {
            assertThat(used.disk.canDiscard()).isTrue();
            assertThat(used.io.discard(MIB, 4 * MIB, false)).isZero();
            assertThat(used.io.flush()).isZero();
        }
        Arrays.fill(expected, MIB, 5 * MIB, (byte) 0);
        assertThat(Files.readAllBytes(image)).isEqualTo(expected);
        assertThat(Stores.blocks(image)).isBetween(4L * MIB / 512, 4L * MIB / 512 + 64);
    }

    @Test
    void offersTheBlockOfTheFileSystemAsUnitOfDiscard() throws Exception {
        Path image = full(stores.mountExt4(32 * MIB, 1024).resolve("disk.img"), MIB);
        try (FileDisk disk = FileDisk.open(image, WRITABLE)) {
            assertThat(disk.discardGranularityBytes()).isEqualTo(1024);
            assertThat(disk.discardAlignmentBytes()).isZero();
            assertThat(disk.canDiscardSecurely()).isFalse();
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void discardOfPartsOfBlocksLeavesTheRestOfThem(Engine engine) throws Exception {
        Path image = full(dir.resolve("disk.img"), MIB);
        byte[] expected = Files.readAllBytes(image);
        try (Used used = new Used(image, WRITABLE, engine)) {
            assertThat(used.io.discard(512, 10240, false)).isZero();
        }
        Arrays.fill(expected, 512, 512 + 10240, (byte) 0);
        assertThat(Files.readAllBytes(image)).isEqualTo(expected);
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void discardsAWholeImageLargerThanAPiece(Engine engine) throws Exception {
        long sizeBytes = 3 * FileDiskRanges.CHANGE_BYTES + 512;
        Path image = stores.image("disk.img", sizeBytes);
        try (Used used = new Used(image, WRITABLE, engine)) {
            byte[] bytes = new byte[MIB];
            Arrays.fill(bytes, (byte) 1);
            for (long at : new long[] {0, FileDiskRanges.CHANGE_BYTES - 512, sizeBytes - MIB}) {
                assertThat(used.io.write(at, bytes)).isZero();
            }
            assertThat(used.io.discard(0, sizeBytes, false)).isZero();
            assertThat(used.io.flush()).isZero();
        }
        assertThat(Stores.blocks(image)).isLessThan(64);
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void discardGivesBackTheSpaceUnderADevice(Engine engine) throws Exception {
        Path image = full(stores.mountExt4(32 * MIB, 4096).resolve("disk.img"), 8 * MIB);
        byte[] expected = Files.readAllBytes(image);
        Path device = stores.loopDevice(image);
        try (Used used = new Used(device, WRITABLE, engine)) {
            assertThat(used.disk.canDiscard()).isTrue();
            assertThat(used.disk.discardGranularityBytes()).isEqualTo(4096);
            assertThat(used.disk.discardAlignmentBytes()).isZero();
            assertThat(used.io.discard(MIB, 4 * MIB, false)).isZero();
            Arrays.fill(expected, MIB, 5 * MIB, (byte) 0);
            assertThat(used.io.read(0, 8 * MIB)).isEqualTo(expected);
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(expected);
        assertThat(Stores.blocks(image)).isBetween(4L * MIB / 512, 4L * MIB / 512 + 64);
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void discardsAWholeDeviceLargerThanAPiece(Engine engine) throws Exception {
        long sizeBytes = 2 * FileDiskRanges.DISCARD_BYTES + MIB;
        Path image = stores.image("disk.img", sizeBytes);
        try (Used used = new Used(stores.loopDevice(image), WRITABLE, engine)) {
            byte[] bytes = new byte[MIB];
            Arrays.fill(bytes, (byte) 1);
            for (long at : new long[] {0, FileDiskRanges.DISCARD_BYTES - 512, sizeBytes - MIB}) {
                assertThat(used.io.write(at, bytes)).isZero();
            }
            assertThat(used.io.flush()).isZero();
            assertThat(used.io.discard(0, sizeBytes, false)).isZero();
        }
        assertThat(Stores.blocks(image)).isLessThan(64);
    }

    /** A device of 4096 refuses a range of 512; what lies whole inside is what can be forgotten. */
    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void discardKeepsWhatIsNoWholeBlockOfADevice(Engine engine) throws Exception {
        Path image = full(dir.resolve("disk.img"), MIB);
        byte[] expected = Files.readAllBytes(image);
        try (Used used = new Used(stores.loopDevice(image, "--sector-size", "4096"), WRITABLE, engine)) {
            assertThat(used.io.discard(512, 8192, false)).isZero();
            assertThat(used.io.discard(16384 + 512, 3072, false))
                    .as("inside one block")
                    .isZero();
            Arrays.fill(expected, 4096, 8192, (byte) 0);
            assertThat(used.io.read(0, MIB)).isEqualTo(expected);
        }
    }

    /** No loop device erases securely; one that would is asked in the same way and answers otherwise. */
    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void doesNotDiscardWhatCannotBeDoneSecurely(Engine engine) throws Exception {
        Path image = full(dir.resolve("disk.img"), MIB);
        byte[] expected = Files.readAllBytes(image);
        try (Used used = new Used(image, WRITABLE, engine)) {
            assertThat(used.disk.canDiscardSecurely()).isFalse();
            assertThat(used.io.discard(0, MIB, true)).isEqualTo(EOPNOTSUPP);
        }
        try (Used used = new Used(stores.loopDevice(image), WRITABLE, engine)) {
            assertThat(used.disk.canDiscardSecurely()).isFalse();
            assertThat(used.io.discard(0, MIB, true)).isEqualTo(EOPNOTSUPP);
            assertThat(used.io.read(0, MIB)).isEqualTo(expected);
        }
    }

    /** A file system cannot be asked beforehand: it says so at the first hole, and the disk offers no more. */
    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void passesOnThatAFileSystemMakesNoHoles(Engine engine) throws Exception {
        Path image = full(stores.mount("ramfs", "mode=700").resolve("disk.img"), MIB);
        byte[] expected = Files.readAllBytes(image);
        try (Used used = new Used(image, WRITABLE, engine)) {
            assertThat(used.disk.canDiscard()).isTrue();
            assertThat(used.io.discard(0, MIB, false)).isEqualTo(EOPNOTSUPP);
            assertThat(used.disk.canDiscard()).isFalse();
            assertThat(used.io.discard(0, MIB, false)).isEqualTo(EOPNOTSUPP);
            assertThat(used.io.read(0, MIB)).isEqualTo(expected);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void knowsADeviceThatDoesNotDiscard(Engine engine) throws Exception {
        Path image = full(stores.mount("ramfs", "mode=700").resolve("disk.img"), MIB);
        byte[] expected = Files.readAllBytes(image);
        try (Used used = new Used(stores.loopDevice(image), WRITABLE, engine)) {
            assertThat(used.disk.canDiscard()).isFalse();
            assertThat(used.io.discard(0, MIB, false)).isEqualTo(EOPNOTSUPP);
            assertThat(used.io.writeZeroes(4096, 65536, true))
                    .as("by the kernel's writes")
                    .isZero();
            Arrays.fill(expected, 4096, 4096 + 65536, (byte) 0);
            assertThat(used.io.read(0, MIB)).isEqualTo(expected);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void zeroesGiveSpaceBackOnlyIfTheyMay(Engine engine) throws Exception {
        Path image = full(stores.mountExt4(32 * MIB, 4096).resolve("disk.img"), 8 * MIB);
        long blocks = Stores.blocks(image);
        byte[] expected = Files.readAllBytes(image);
        try (Used used = new Used(image, WRITABLE, engine)) {
            assertThat(used.io.writeZeroes(1536, 2 * MIB, false)).isZero();
            assertThat(used.io.flush()).isZero();
            assertThat(Stores.blocks(image)).isGreaterThanOrEqualTo(blocks);
            Arrays.fill(expected, 1536, 1536 + 2 * MIB, (byte) 0);
            assertThat(used.io.read(0, 8 * MIB)).isEqualTo(expected);

            assertThat(used.io.writeZeroes(4 * MIB, 4 * MIB, true)).isZero();
            assertThat(used.io.flush()).isZero();
            assertThat(Stores.blocks(image)).isLessThan(blocks - 3L * MIB / 512);
            Arrays.fill(expected, 4 * MIB, 8 * MIB, (byte) 0);
            assertThat(used.io.read(0, 8 * MIB)).isEqualTo(expected);
        }
    }

    /** tmpfs makes holes but no zeroes, ramfs neither. */
    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void writesZeroesWhereTheFileSystemMakesNone(Engine engine) throws Exception {
        for (String type : List.of("tmpfs", "ramfs")) {
            Path image = full(stores.mount(type, "mode=700").resolve("disk.img"), 4 * MIB);
            byte[] expected = Files.readAllBytes(image);
            try (Used used = new Used(image, WRITABLE, engine)) {
                assertThat(used.io.writeZeroes(512, MIB, false)).isZero();
                assertThat(used.io.writeZeroes(2 * MIB + 512, MIB, true)).isZero();
                Arrays.fill(expected, 512, MIB + 512, (byte) 0);
                Arrays.fill(expected, 2 * MIB + 512, 3 * MIB + 512, (byte) 0);
                assertThat(used.io.read(0, 4 * MIB)).as(type).isEqualTo(expected);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void zeroesPartsOfBlocksOfADeviceAndNoMore(Engine engine) throws Exception {
        Path image = full(dir.resolve("disk.img"), MIB);
        byte[] expected = Files.readAllBytes(image);
        Path device = stores.loopDevice(image, "--sector-size", "4096");
        long[][] ranges = {{512, 1024}, {8192 - 512, 1024}, {16384 + 1536, 65536}, {131072, 4096}, {200704, 4608}};
        for (boolean direct : new boolean[] {false, true}) {
            for (boolean mayDiscard : new boolean[] {false, true}) {
                try (Used used = new Used(device, new Options(false, direct, false), engine)) {
                    assertThat(used.io.write(0, Files.readAllBytes(image))).isZero();
                    for (long[] range : ranges) {
                        assertThat(used.io.writeZeroes(range[0], range[1], mayDiscard))
                                .isZero();
                        Arrays.fill(expected, (int) range[0], (int) (range[0] + range[1]), (byte) 0);
                    }
                    assertThat(used.io.read(0, MIB)).isEqualTo(expected);
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void refusesRangesThatAreNotInTheDisk(Engine engine) throws Exception {
        Path image = full(dir.resolve("disk.img"), MIB);
        byte[] expected = Files.readAllBytes(image);
        try (Used used = new Used(image, WRITABLE, engine)) {
            long[][] outside = {
                {MIB, 512},
                {MIB - 512, 1024},
                {0, MIB + 512},
                {-512, 1024},
                {512, Long.MAX_VALUE},
                {Long.MAX_VALUE - 511, 512},
                {512, -512}
            };
            for (long[] range : outside) {
                assertThat(used.io.discard(range[0], range[1], false)).isEqualTo(EIO);
                assertThat(used.io.writeZeroes(range[0], range[1], true)).isEqualTo(EIO);
            }
            assertThat(used.io.discard(MIB, 0, false)).as("nothing").isZero();
            assertThat(used.io.writeZeroes(MIB, 0, true)).as("nothing").isZero();
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(expected);
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void changesNothingOnAReadOnlyDisk(Engine engine) throws Exception {
        Path image = full(dir.resolve("disk.img"), MIB);
        byte[] expected = Files.readAllBytes(image);
        try (Used used = new Used(image, new Options(true, false, false), engine)) {
            assertThat(used.disk.canDiscard()).isFalse();
            assertThat(used.disk.canWriteZeroes()).isFalse();
            assertThat(used.io.discard(0, MIB, false)).isEqualTo(EOPNOTSUPP);
            assertThat(used.io.writeZeroes(0, MIB, true)).isEqualTo(EOPNOTSUPP);
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(expected);
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void otherOperationsGoOnWhileZeroesAreWritten(Engine engine) throws Exception {
        Path image = full(stores.mount("tmpfs", "mode=700").resolve("disk.img"), 64 * MIB);
        List<String> order = new CopyOnWriteArrayList<>();
        try (Used used = new Used(image, WRITABLE, engine);
                Arena arena = Arena.ofShared()) {
            ScatterList list = new ScatterList(1, arena);
            list.add(arena.allocate(4096), 0, 4096);
            CompletableFuture<Boolean> zeroed = new CompletableFuture<>();
            used.loop.execute(() -> {
                DiskQueue queue = used.disk.openQueue(used.loop);
                queue.writeZeroes(
                        0,
                        64 * MIB,
                        false,
                        (tag, result) -> {
                            order.add("zeroes " + result);
                            zeroed.complete(true);
                        },
                        0);
                queue.read(32 * MIB, list, (tag, result) -> order.add("read " + result), 0);
            });
            assertThat(zeroed.get(20, TimeUnit.SECONDS)).isTrue();
        }
        assertThat(order).containsExactly("read 0", "zeroes 0");
    }

    /**
     * A file whose pages are all apart takes its file system long to punch, with the file's lock held. A write that waits
     * for the lock must not do so on the loop, which has other things to do.
     */
    @Test
    void goesOnWhileWritesWaitForADiscard() throws Exception {
        Path image = Machine.image(stores.mountExt4(160 * MIB, 4096).resolve("disk.img"), 64 * MIB);
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            for (int at = 0; at < 64 * MIB; at += 8192) {
                file.seek(at);
                file.write(new byte[4096]);
            }
            file.getFD().sync();
        }
        try (Used used = new Used(image, WRITABLE, Engine.URING);
                Arena arena = Arena.ofShared()) {
            ScatterList list = new ScatterList(1, arena);
            list.add(arena.allocate(4096), 0, 4096);
            DiskQueue queue = used.loop.call(() -> used.disk.openQueue(used.loop));
            Turns turns = new Turns(used.loop);
            CompletableFuture<Boolean> written = new CompletableFuture<>();
            Completion again = new Completion() {
                @Override
                public void onCompletion(int tag, int result) {
                    if (turns.ended) {
                        written.complete(true);
                    } else {
                        list.clear();
                        list.add(arena.allocate(4096), 0, 4096);
                        queue.write(4096, list, this, 0);
                    }
                }
            };
            used.loop.execute(() -> {
                queue.discard(0, 64 * MIB, false, (tag, result) -> turns.ended = true, 0);
                queue.write(4096, list, again, 0);
                used.loop.atNextTurn(turns);
            });
            assertThat(written.get(20, TimeUnit.SECONDS)).isTrue();
            assertThat(turns.count)
                    .as("turns; fewer than ten where the loop waits")
                    .hasValueGreaterThan(100);
        }
    }

    /** Counts the turns of a loop. */
    private static final class Turns extends EventLoop.TurnEnd {
        private final EventLoop loop;
        private volatile boolean ended;
        private final AtomicLong count = new AtomicLong();

        Turns(EventLoop loop) {
            this.loop = loop;
        }

        @Override
        protected void endTurn() {
            count.incrementAndGet();
            if (!ended) {
                loop.atNextTurn(this);
            }
        }
    }

    /** A file with random bytes that is on its file system. */
    private static Path full(Path path, int sizeBytes) throws IOException {
        byte[] bytes = new byte[sizeBytes];
        new Random(sizeBytes).nextBytes(bytes);
        Files.write(path, bytes);
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            file.getFD().sync();
        }
        return path;
    }

    /** A disk that is open, and a loop to use it. */
    private static final class Used implements AutoCloseable {
        final FileDisk disk;
        final EventLoop loop;
        final GuestIo io;

        Used(Path path, Options options, Engine engine) throws Exception {
            disk = FileDisk.open(path, options);
            loop = EventLoop.start("disk", engine);
            io = new GuestIo(disk, loop);
        }

        @Override
        public void close() throws IOException {
            io.close();
            loop.close();
            disk.close();
        }
    }
}
