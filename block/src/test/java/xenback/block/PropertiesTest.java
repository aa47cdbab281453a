package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import xenback.block.frontend.Xbd;
import xenback.block.frontend.XbdOptions;
import xenback.block.protocol.Abi;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.embedded.Toolstack;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.store.StorePath;

/** What the nodes that the toolstack writes make of a disk: what the guest is told of it, and what it can do then. */
class PropertiesTest {
    private static final int XVDA = 51712;

    @TempDir
    private Path dir;

    private Machine machine;

    @BeforeEach
    void start() throws Exception {
        machine = new Machine(dir, Engine.URING);
    }

    @AfterEach
    void close() {
        machine.close();
    }

    /** VDISK_CDROM 1, VDISK_REMOVABLE 2, VDISK_READONLY 4 (blkif.h). */
    @ParameterizedTest
    @CsvSource({"disk, 0, w, 0", "disk, 0, r, 4", "disk, 1, w, 2", "disk, 1, r, 6", "cdrom, 0, r, 5", "cdrom, 1, r, 7"})
    void tellsInInfoWhatTheDiskIs(String type, String removable, String mode, String info) throws Exception {
        Toolstack.Device device = device(mode);
        device.backendNodes().put("device-type", type);
        device.backendNodes().put("removable", removable);
        Xbd xbd = attach(device);
        assertThat(node("info")).isEqualTo(info);
        assertThat(xbd.readOnly()).isEqualTo(!mode.equals("w"));
    }

    /** xl leaves mode w for a medium of which the user said nothing; nobody writes to one. */
    @Test
    void neverWritesToAMedium() throws Exception {
        Toolstack.Device device = device("w");
        device.backendNodes().put("device-type", "cdrom");
        Xbd xbd = attach(device);
        assertThat(node("info")).isEqualTo("5");
        try (GuestIo io = new GuestIo(xbd, xbd.loop())) {
            assertThat(io.write(0, new byte[512])).isEqualTo(-Errno.EIO.number());
        }
    }

    @Test
    void offersDiscardUnlessTheToolstackForbidsIt() throws Exception {
        Xbd xbd = attach(device("w"));
        assertThat(node("feature-discard")).isEqualTo("1");
        assertThat(node("discard-granularity")).isEqualTo("512");
        try (GuestIo io = new GuestIo(xbd, xbd.loop())) {
            assertThat(io.discard(0, 4096, false)).isZero();
        }
    }

    @Test
    void offersNoDiscardWhereDiscardEnableIs0() throws Exception {
        Toolstack.Device device = device("w");
        device.backendNodes().put("discard-enable", "0");
        Xbd xbd = attach(device);
        assertThat(node("feature-discard")).isEqualTo("0");
        assertThat(node("discard-granularity")).isEmpty();
        assertThat(node("discard-secure")).isEmpty();
        try (GuestIo io = new GuestIo(xbd, xbd.loop())) {
            assertThat(io.discard(0, 4096, false))
                    .as("a guest that sends one all the same")
                    .isEqualTo(-Errno.EOPNOTSUPP.number());
        }
        assertThat(machine.backend().devices().getFirst().counters().discards()).isZero();
    }

    private static Toolstack.Device device(String mode) {
        return Machine.vbd(1, XVDA, Path.of("null:1M"), mode);
    }

    private Xbd attach(Toolstack.Device device) throws XenException {
        return machine.startXbd(machine.guest(1), machine.toolstack.attach(device), XbdOptions.plain(Abi.NATIVE));
    }

    private String node(String key) throws XenException {
        return machine.xen
                .domain0()
                .store()
                .read(StorePath.of("/local/domain/0/backend/vbd/1/" + XVDA + "/" + key))
                .orElse("");
    }
}
