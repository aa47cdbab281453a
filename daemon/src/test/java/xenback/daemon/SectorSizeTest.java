package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A device with sectors of 4096 bytes, seen by guests that know only 512 and by guests that want its own. */
@Timeout(120)
final class SectorSizeTest extends Checkout {
    @TempDir
    private Path directory;

    @Test
    void servesSectorsOf512BytesOnADeviceWithLargerOnes() throws Exception {
        Path image = Files.write(directory.resolve("disk.img"), new byte[8 << 20]);
        try (LoopDevice device = LoopDevice.over(image, "--sector-size", "4096");
                RunningServe serve = RunningServe.start(directory, "--disk=" + device.path() + ",raw,xvda,w")) {
            assertThat(node(serve, "sector-size")).isEqualTo("512");
            assertThat(Integer.parseInt(node(serve, "physical-sector-size"))).isGreaterThanOrEqualTo(4096);
            assertThat(node(serve, "sectors")).isEqualTo("16384");
            Tool.need(
                    "qemu-io",
                    "-f",
                    "raw",
                    "-c",
                    "write -P 7 512 1k",
                    "-c",
                    "read -P 0 0 512",
                    "-c",
                    "read -P 7 512 1k",
                    "-c",
                    "read -P 0 1536 2560",
                    serve.uri(0));
            serve.stop();
        }
        assertThat(Files.readAllBytes(image)[512]).isEqualTo((byte) 7);
    }

    @Test
    void servesTheDevicesOwnSectorsIfAsked() throws Exception {
        Path image = Files.write(directory.resolve("disk.img"), new byte[8 << 20]);
        try (LoopDevice device = LoopDevice.over(image, "--sector-size", "4096");
                RunningServe serve =
                        RunningServe.start(directory, "--disk=" + device.path() + ",raw,xvda,w,sector-size=own")) {
            assertThat(node(serve, "sector-size")).isEqualTo("4096");
            assertThat(node(serve, "sectors")).as("always in 512 bytes").isEqualTo("16384");
            assertThat(Tool.need("nbdinfo", serve.uri(0))).contains("\tblock_size_minimum: 4096\n");
            Tool.need("qemu-io", "-f", "raw", "-c", "write -P 7 4k 8k", "-c", "read -P 7 4k 8k", serve.uri(0));
            serve.stop();
        }
    }

    private static String node(RunningServe serve, String key) throws Exception {
        return serve.store(0, "xenstore-read", "/local/domain/0/backend/vbd/1/51712/" + key)
                .out()
                .strip();
    }
}
