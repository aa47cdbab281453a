package xenback.block.disk;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.block.GuestIo;
import xenback.block.disk.FileDisk.Options;
import xenback.xen.io.EventLoop;
import xenback.xen.io.EventLoop.Engine;

/** Guests that count in 512 bytes on stores that do not. Needs root. */
class FileDiskSectorTest {
    private static final int MIB = 1 << 20;

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

    @Test
    void offersSectorsOf512BytesWhateverTheDeviceHas() throws Exception {
        Path device = stores.loopDevice(stores.image("disk.img", 4 * MIB), "--sector-size", "4096");
        try (FileDisk disk = FileDisk.open(device, new Options(false, true, false))) {
            assertThat(disk.logicalBlockBytes()).isEqualTo(512);
            assertThat(disk.physicalBlockBytes()).isGreaterThanOrEqualTo(4096);
            assertThat(disk.discardGranularityBytes()).isGreaterThanOrEqualTo(4096);
            assertThat(disk.isDirect()).isTrue();
        }
    }

    @Test
    void publishesTheSectorOfTheDeviceIfAsked() throws Exception {
        Path device = stores.loopDevice(stores.image("disk.img", 4 * MIB), "--sector-size", "4096");
        try (FileDisk disk = FileDisk.open(device, new Options(false, false, true))) {
            assertThat(disk.logicalBlockBytes()).isEqualTo(4096);
            assertThat(disk.physicalBlockBytes()).isGreaterThanOrEqualTo(4096);
        }
    }

    @Test
    void anImageHasNoOtherSectorOfItsOwn() throws Exception {
        try (FileDisk disk = FileDisk.open(stores.image("disk.img", MIB), new Options(false, false, true))) {
            assertThat(disk.logicalBlockBytes()).isEqualTo(512);
        }
    }

    /** Single sectors at the edges of a block and in it, one after another and through both descriptors. */
    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void writesSectorsInsideTheBlockOfADeviceAndLeavesTheRest(Engine engine) throws Exception {
        Path device = stores.loopDevice(stores.image("disk.img", MIB), "--sector-size", "4096");
        byte[] expected = new byte[MIB];
        new Random(4).nextBytes(expected);
        for (boolean direct : new boolean[] {false, true}) {
            try (FileDisk disk = FileDisk.open(device, new Options(false, direct, false));
                    EventLoop loop = EventLoop.start("disk", engine);
                    GuestIo io = new GuestIo(disk, loop)) {
                assertThat(io.write(0, expected)).isZero();
                for (int at : new int[] {0, 3584, 4096 + 1024, 8192 - 512, MIB - 512}) {
                    byte[] sector = new byte[at == 8192 - 512 ? 1024 : 512];
                    Arrays.fill(sector, (byte) (at >> 9));
                    assertThat(io.write(at, sector)).isZero();
                    System.arraycopy(sector, 0, expected, at, sector.length);
                    assertThat(io.read(at, sector.length)).isEqualTo(sector);
                }
                assertThat(io.read(0, MIB)).as("whole, direct %s", direct).isEqualTo(expected);
                assertThat(io.flush()).isZero();
            }
        }
    }

    /** blkif.h: sectors * 512 is a multiple of physical-sector-size. */
    @ParameterizedTest
    @CsvSource({"512, 512", "1024, 1024", "4608, 512", "12288, 4096", "1048576, 4096", "1050624, 2048"})
    void isAWholeNumberOfItsPhysicalBlocks(int sizeBytes, int physicalBytes) throws Exception {
        try (FileDisk disk = FileDisk.open(stores.image("disk.img", sizeBytes), new Options(false, false, false))) {
            assertThat(disk.physicalBlockBytes()).isEqualTo(physicalBytes);
        }
    }
}
