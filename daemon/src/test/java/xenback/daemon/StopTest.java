package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A signal while clients write: everything acknowledged is in the image, every client is let go, nothing stays behind. */
@Timeout(120)
final class StopTest extends Checkout {
    private static final long MIB = 1 << 20;

    @TempDir
    private Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"INT", "TERM"})
    void endsCleanlyUnderLoad(String signal) throws Exception {
        Path image = directory.resolve("disk.img");
        Path extraSocket = directory.resolve("extra.sock");
        var flushed = new NumberedBlocks(1, 32 * MIB, 16 * MIB, NumberedBlocks.Durability.FLUSH);
        var through = new NumberedBlocks(2, 48 * MIB, 16 * MIB, NumberedBlocks.Durability.FUA);
        try (RunningServe serve = RunningServe.start(
                        directory, "--create=64M", "--disk=disk.img,raw,xvda,w", "--nbd-socket=" + extraSocket);
                Tool fio = Tool.start(
                        "fio",
                        "--name=load",
                        "--ioengine=nbd",
                        "--uri=nbd+unix:///xbd0?socket=" + extraSocket,
                        "--rw=randwrite",
                        "--bs=64k",
                        "--iodepth=16",
                        "--size=32m",
                        "--time_based",
                        "--runtime=60");
                NbdClient idle = NbdClient.connect(extraSocket, "xbd0")) {
            fio.awaitOut(line -> line.contains("connected to NBD server"));
            flushed.start(NbdClient.connect(extraSocket, "xbd0"));
            through.start(NbdClient.connect(extraSocket, "xbd0"));
            flushed.awaitAcknowledged(50);
            through.awaitAcknowledged(20);
            assertThat(lockable(image)).isFalse();

            serve.tool().signal(signal);
            Tool.Result result = serve.tool().awaitEnd();

            assertThat(result.status()).isZero();
            assertThat(result.err())
                    .endsWith("detach device xbdback1i51712 for domain 1\n")
                    .doesNotContain("xenback: ", "error: ", "warning: ", "Exception");
            idle.awaitEnd();
            assertThat(fio.awaitEnd().status()).isNotZero();
            assertThat(extraSocket).doesNotExist();
            assertThat(serve.runDir()).doesNotExist();
        }
        flushed.awaitEnd();
        through.awaitEnd();
        assertThat(flushed.assertIn(image)).isGreaterThanOrEqualTo(50);
        assertThat(through.assertIn(image)).isGreaterThanOrEqualTo(20);
        assertThat(lockable(image)).isTrue();
    }

    /** Whether another writer could take the image. */
    private static boolean lockable(Path image) throws Exception {
        try (FileChannel channel = FileChannel.open(image, StandardOpenOption.WRITE);
                FileLock lock = channel.tryLock()) {
            return lock != null;
        }
    }
}
