package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Stores that fail while they are in use: an error for the request, one line for people, and the rest goes on. */
@Timeout(120)
final class FailingStoreTest extends Checkout {
    private static final int MIB = 1 << 20;
    private static final int EIO = 5;
    private static final int ENOSPC = 28;

    @TempDir
    private Path directory;

    @Test
    void failsWritesWhileTheFileSystemIsFull() throws Exception {
        Path mountPoint = Files.createDirectory(directory.resolve("small"));
        byte[] block = filled(MIB, 1);
        try (Mounted small = Mounted.memory(mountPoint, 8 * MIB)) {
            Path filler = Files.write(small.path().resolve("filler"), new byte[4 * MIB]);
            Path image = small.path().resolve("disk.img");
            try (RunningServe serve = RunningServe.start(directory, "--create=64M", "--disk=" + image + ",raw,xvda,w");
                    NbdClient client = serve.connect(0)) {
                client.write(0, block);
                for (int attempt = 0; attempt < 3; attempt++) {
                    assertThatThrownBy(() -> client.write(8 * MIB, filled(4 * MIB, 2)))
                            .isInstanceOfSatisfying(
                                    NbdClient.Refused.class,
                                    refused -> assertThat(refused.error).isIn(EIO, ENOSPC));
                }
                assertThat(client.read(0, MIB)).isEqualTo(block);
                client.flush();

                Files.delete(filler);

                client.write(32 * MIB, block);
                client.flush();
                assertThat(client.read(32 * MIB, MIB)).isEqualTo(block);
                assertThat(serve.stop().err().lines().filter(line -> line.startsWith("error: ")))
                        .containsExactly("error: " + image
                                + ": no space left for it on its file system; its guest's writes fail until there is");
            }
            try (var file = new RandomAccessFile(image.toFile(), "r")) {
                byte[] found = new byte[MIB];
                file.seek(32 * MIB);
                file.readFully(found);
                assertThat(found).isEqualTo(block);
            }
        }
    }

    @Test
    void failsReadsBeyondTheEndOfAnImageThatWasTruncated() throws Exception {
        Path image = directory.resolve("disk.img");
        try (RunningServe serve = RunningServe.start(directory, "--create=8M", "--disk=disk.img,raw,xvda,w");
                NbdClient client = serve.connect(0)) {
            client.write(0, filled(8 * MIB, 1));
            try (var file = new RandomAccessFile(image.toFile(), "rw")) {
                file.setLength(4L * MIB);
            }

            for (long offset : new long[] {4L * MIB, 7L * MIB, 4L * MIB - 4096}) {
                assertThatThrownBy(() -> client.read(offset, 8192))
                        .isInstanceOfSatisfying(
                                NbdClient.Refused.class,
                                refused -> assertThat(refused.error).isEqualTo(EIO));
            }
            assertThat(client.read(4L * MIB - 4096, 4096)).containsOnly(1);
            client.write(MIB, filled(4096, 2));
            assertThat(client.read(MIB, 4096)).containsOnly(2);

            try (var file = new RandomAccessFile(image.toFile(), "rw")) {
                file.setLength(8L * MIB);
            }
            assertThat(client.read(7L * MIB, 4096)).containsOnly(0);
            assertThat(serve.stop().err().lines().filter(line -> line.startsWith("error: ")))
                    .containsExactly("error: " + image + ": shorter than the 8388608 bytes that its guest was given;"
                            + " its requests beyond the end fail until the file has that size again");
        }
    }

    private static byte[] filled(int bytes, int value) {
        byte[] octets = new byte[bytes];
        Arrays.fill(octets, (byte) value);
        return octets;
    }
}
