package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Several guests and disks in one process, and disks of each kind. */
@Timeout(120)
final class SeveralDisksTest extends Checkout {
    private static final int EPERM = 1;

    @TempDir
    private Path directory;

    @Test
    void keepsTheBytesOfEachDiskApart() throws Exception {
        List<String> images = List.of("a.img", "b.img", "c.img", "d.img");
        try (RunningServe serve = RunningServe.start(
                directory,
                "--create=8M",
                "--disk=a.img,raw,xvda,w",
                "--disk=b.img,raw,xvdb,w,cache=direct",
                "--disk=c.img,raw,xvda,w,guest=2",
                "--disk=d.img,raw,hda1,w,guest=32751")) {
            List<Tool> writers = new ArrayList<>();
            for (int index = 0; index < images.size(); index++) { // all at once
                writers.add(Tool.start(
                        "qemu-io", "-f", "raw", "-c", "write -P " + (index + 1) + " 0 8M", serve.uri(index)));
            }
            for (Tool writer : writers) {
                try (writer) {
                    assertThat(writer.awaitEnd().status()).isZero();
                }
            }
            for (int index = 0; index < images.size(); index++) {
                Tool.need("qemu-io", "-f", "raw", "-c", "read -P " + (index + 1) + " 0 8M", serve.uri(index));
            }
            assertThat(serve.stop().err())
                    .contains("xbd backend 0xca00 for domain 1 using event channel ")
                    .contains("xbd backend 0xca10 for domain 1 using event channel ")
                    .contains("xbd backend 0xca00 for domain 2 using event channel ")
                    .contains("xbd backend 0x301 for domain 32751 using event channel ");
        }
        for (int index = 0; index < images.size(); index++) {
            byte[] wanted = new byte[8 << 20];
            Arrays.fill(wanted, (byte) (index + 1));
            assertThat(Files.readAllBytes(directory.resolve(images.get(index)))).isEqualTo(wanted);
        }
    }

    @Test
    void servesABlockDeviceAndFlushesIt() throws Exception {
        Path image = Files.write(directory.resolve("disk.img"), new byte[8 << 20]);
        try (LoopDevice device = LoopDevice.over(image);
                RunningServe serve = RunningServe.start(directory, "--disk=" + device.path() + ",raw,xvda,w");
                NbdClient client = serve.connect(0)) {
            long before = flushesOf(device);
            client.write(4096, sector("written"));
            client.flush();
            assertThat(flushesOf(device)).isGreaterThan(before);
            long between = flushesOf(device);
            client.writeThrough(8192, sector("through"));
            assertThat(flushesOf(device)).isGreaterThan(between);
            assertThat(Tool.need("nbdinfo", "--size", serve.uri(0))).isEqualTo("8388608\n");
            Tool.need("qemu-io", "-f", "raw", "-c", "write -P 7 1M 3M", "-c", "read -P 7 1M 3M", serve.uri(0));
            serve.stop();
        }
        byte[] found = Files.readAllBytes(image);
        assertThat(new String(found, 8192, 7, StandardCharsets.US_ASCII)).isEqualTo("through");
        assertThat(found[3 << 20]).isEqualTo((byte) 7);
    }

    @Test
    void refusesToWriteToAReadOnlyDisk() throws Exception {
        byte[] content = new byte[1 << 20];
        content[0] = 1;
        Path image = Files.write(directory.resolve("disk.img"), content);
        try (RunningServe serve = RunningServe.start(directory, "--disk=disk.img,raw,xvda,r");
                NbdClient client = serve.connect(0)) {
            assertThat(serve.tool().awaitOut(line -> true)).startsWith("xbd0 (xvda of domain 1, 1.0 MiB, read-only): ");
            assertThat(Tool.need("nbdinfo", serve.uri(0))).contains("\tis_read_only: true\n");
            Tool.Result write = Tool.run("qemu-io", "-f", "raw", "-c", "write -P 2 0 512", serve.uri(0));
            assertThat(write.status()).isEqualTo(1);
            assertThat(write.err()).contains("Permission denied");

            // A client that pays no heed to the flag.
            assertThatThrownBy(() -> client.write(0, new byte[512]))
                    .isInstanceOfSatisfying(
                            NbdClient.Refused.class,
                            refused -> assertThat(refused.error).isEqualTo(EPERM));
            assertThat(client.read(0, 512)[0]).isEqualTo((byte) 1);
            serve.stop();
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }

    private static byte[] sector(String text) {
        return Arrays.copyOf(text.getBytes(StandardCharsets.US_ASCII), 512);
    }

    /** Flushes that the kernel has sent to a device: field 16 of Documentation/block/stat.rst. */
    private static long flushesOf(LoopDevice device) throws Exception {
        String stat = Files.readString(
                Path.of("/sys/block", Path.of(device.path()).getFileName().toString(), "stat"));
        return Long.parseLong(stat.strip().split(" +", -1)[15]);
    }
}
