package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.block.backend.BlockBackend;
import xenback.block.backend.BlockCounters;
import xenback.block.backend.BlockOptions;
import xenback.block.frontend.Xbd;
import xenback.block.frontend.XbdOptions;
import xenback.block.protocol.Abi;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.Toolstack;
import xenback.xen.io.EventLoop;
import xenback.xen.io.EventLoop.Engine;

/**
 * Every combination of ABI, ring order, number of queues, indirect segments, persistent grants and sector size carries a guest's
 * bytes to the image and back, and the backend's counters say that the features were really in use.
 */
class FeatureMatrixTest {
    private static final int SIZE = 2 << 20;
    private static final int FIRST_VDEV = 51712;

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private Machine machine;
    private Path image;
    private int devices;

    @BeforeEach
    void start() throws Exception {
        // More segments than a page of descriptors holds, so that several pages of them are used.
        machine = new Machine(
                dir,
                Engine.URING,
                new BlockOptions(4, 4, 1024, true, false, false),
                LargeSectorDisk.WHERE_OWN_SECTOR_SIZE);
        image = Machine.image(dir.resolve("disk.img"), SIZE);
    }

    @AfterEach
    void close() {
        machine.close();
        log.close();
        assertThat(log.lines()).isEmpty();
    }

    @ParameterizedTest
    @EnumSource(Abi.class)
    void carriesTheBytesWithEveryCombination(Abi abi) throws Exception {
        Domain guest = machine.xen.createDomain(1, 27_000);
        machine.toolstack.createHome(1, "guest1");
        List<EventLoop> loops = List.of(EventLoop.start("a", Engine.URING), EventLoop.start("b", Engine.URING));
        try {
            for (int order : new int[] {0, 1, 4}) {
                for (int queues : new int[] {1, 2, 4}) {
                    for (int indirect : new int[] {0, 32, 600}) {
                        for (boolean persistent : new boolean[] {false, true}) {
                            boolean oldSpelling = (order + queues + indirect) % 2 == 0;
                            XbdOptions options =
                                    new XbdOptions(abi, order, oldSpelling, queues, indirect, persistent, false);
                            carries(guest, loops, options, 512);
                            carries(guest, loops, options, LargeSectorDisk.SECTOR_BYTES);
                        }
                    }
                }
            }
        } finally {
            loops.forEach(EventLoop::close);
        }
    }

    private void carries(Domain guest, List<EventLoop> loops, XbdOptions options, int sectorBytes) throws Exception {
        long seed = (long) options.hashCode() + sectorBytes;
        int vdev = FIRST_VDEV + devices++ % 16;
        Toolstack.Device device = Machine.vbd(1, vdev, image, "w");
        device.backendNodes().put(BlockBackend.OWN_SECTOR_SIZE, sectorBytes > 512 ? "1" : "0");
        Xbd xbd = Xbd.start("xbd", guest, machine.toolstack.attach(device), options, loops);
        try {
            assertThat(xbd.queueCount()).as("%s", options).isEqualTo(options.queues());
            assertThat(xbd.logicalBlockBytes()).as("%s", options).isEqualTo(sectorBytes);
            BlockCounters counters = machine.backend().devices().stream()
                    .filter(row -> row.name().equals(BlockBackend.interfaceName(1, vdev)))
                    .findFirst()
                    .orElseThrow()
                    .counters();
            byte[] expected = writeAndRead(xbd, loops, seed, options);
            assertThat(counters.indirect() > 0)
                    .as("indirect with %s", options)
                    .isEqualTo(options.indirectSegments() > 11);
            assertThat(counters.flushes()).as("%s", options).isEqualTo(options.queues());
            assertThat(counters.errors()).as("%s", options).isZero();
            if (options.persistentGrants()) {
                assertThat(machine.xen.domain0().mappedGrants())
                        .as("pages stay mapped with %s", options)
                        .isGreaterThan(options.queues() << options.ringPageOrder());
            } else {
                assertThat(machine.xen.domain0().mappedGrants())
                        .as("the rings alone are mapped with %s", options)
                        .isEqualTo(options.queues() << options.ringPageOrder());
            }
            machine.toolstack.detach(device, false);
            assertThat(xbd.awaitEnd(java.time.Duration.ofSeconds(10))).isTrue();
            assertThat(Files.readAllBytes(image))
                    .as("seed %d, %s", seed, options)
                    .isEqualTo(expected);
            assertThat(guest.pinnedGrants()).as("%s", options).isZero();
            assertThat(machine.xen.domain0().mappedGrants()).as("%s", options).isZero();
            assertThat(machine.xen.domain0().openPorts()).as("%s", options).isZero();
        } finally {
            xbd.close();
        }
    }

    /** Random pieces through every queue, each queue in its own quarter; returns what the disk must hold then. */
    private byte[] writeAndRead(Xbd xbd, List<EventLoop> loops, long seed, XbdOptions options) throws Exception {
        Random random = new Random(seed);
        byte[] expected = Files.readAllBytes(image);
        int sectorBytes = xbd.logicalBlockBytes();
        int part = SIZE / options.queues();
        List<GuestIo> queues = new ArrayList<>();
        for (int i = 0; i < options.queues(); i++) {
            queues.add(new GuestIo(xbd, loops.get(i % loops.size())));
        }
        for (int i = 0; i < options.queues(); i++) {
            GuestIo io = queues.get(i);
            // One piece of the largest request's size and more, and small ones at odd sectors.
            int large = Math.min(part / 2, 4096 * (options.indirectSegments() + 1));
            for (int length : new int[] {large, sectorBytes, 4096 * 3 + sectorBytes, 4096 * 12}) {
                byte[] bytes = new byte[Math.min(length, part) / sectorBytes * sectorBytes];
                random.nextBytes(bytes);
                int at = i * part + random.nextInt((part - bytes.length) / sectorBytes + 1) * sectorBytes;
                assertThat(io.write(at, bytes)).as("seed %d, %s", seed, options).isZero();
                System.arraycopy(bytes, 0, expected, at, bytes.length);
            }
            assertThat(io.flush()).isZero();
        }
        for (int i = 0; i < options.queues(); i++) {
            byte[] read = queues.get(i).read((long) i * part, part);
            assertThat(read)
                    .as("seed %d, %s", seed, options)
                    .isEqualTo(java.util.Arrays.copyOfRange(expected, i * part, (i + 1) * part));
            queues.get(i).close();
        }
        return expected;
    }

    @Test
    void usesNoMoreThanIsOffered() throws Exception {
        machine.close();
        machine = new Machine(dir.resolve("other"), Engine.URING, new BlockOptions(1, 2, 16, false, false, false));
        Domain guest = machine.xen.createDomain(1, 25_000);
        machine.toolstack.createHome(1, "guest1");
        XbdOptions greedy = new XbdOptions(Abi.NATIVE, 4, false, 4, 256, true, true);
        try (EventLoop loop = EventLoop.start("a", Engine.URING)) {
            Xbd xbd = Xbd.start(
                    "xbd", guest, machine.toolstack.attach(Machine.vbd(1, 51712, image, "w")), greedy, List.of(loop));
            assertThat(xbd.queueCount()).isEqualTo(2);
            byte[] bytes = new byte[300_032];
            new Random(5).nextBytes(bytes);
            try (GuestIo io = new GuestIo(xbd, loop)) {
                assertThat(io.write(512, bytes)).isZero();
                assertThat(io.flush()).isZero();
                assertThat(io.read(512, bytes.length)).isEqualTo(bytes);
            }
            BlockCounters counters = machine.backend().devices().getFirst().counters();
            assertThat(counters.barriers()).as("its flush is an empty barrier").isEqualTo(1);
            assertThat(machine.xen.domain0().mappedGrants())
                    .as("two rings of two pages")
                    .isEqualTo(4);
            xbd.close();
        }
    }
}
