package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.SplittableRandom;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * kill -9 in the middle of writes. Two clients write numbered blocks, one with flushes and one with FUA, while fio keeps the
 * queue full; whatever was acknowledged as durable when the process died must be in the image.
 */
@Timeout(120)
final class KillTest extends Checkout {
    private static final long MIB = 1 << 20;

    @TempDir
    private Path directory;

    @RepeatedTest(4)
    void losesNothingThatWasFlushed(RepetitionInfo repetition) throws Exception {
        long seed = Long.getLong("xenback.seed", System.nanoTime());
        System.out.println("to repeat: ./dev test KillTest -Dxenback.seed=" + seed);
        var random = new SplittableRandom(seed);
        String engine = repetition.getCurrentRepetition() % 2 == 0 ? "--io=threads" : "--io=uring";
        String[] options = {"--create=64M", "--disk=disk.img,raw,xvda,w", engine};
        Path image = directory.resolve("disk.img");
        var flushed = new NumberedBlocks(seed, 32 * MIB, 16 * MIB, NumberedBlocks.Durability.FLUSH);
        var through = new NumberedBlocks(~seed, 48 * MIB, 16 * MIB, NumberedBlocks.Durability.FUA);

        Path killedRunDir;
        try (RunningServe serve = RunningServe.startBelow(directory, directory, options);
                Tool fio = fio(serve)) {
            flushed.start(serve.connect(0));
            through.start(serve.connect(0));
            flushed.awaitAcknowledged(random.nextInt(1, 600));
            through.awaitAcknowledged(random.nextInt(1, 100));
            serve.kill();
            killedRunDir = serve.runDir();
            assertThat(fio.awaitEnd().status()).isNotZero();
        }
        flushed.awaitEnd();
        through.awaitEnd();
        int blocks = flushed.assertIn(image) + through.assertIn(image);
        assertThat(blocks).isGreaterThan(1);
        assertThat(killedRunDir).exists();

        // The dead process holds no locks, and its leftovers go.
        try (RunningServe next = RunningServe.startBelow(directory, directory, options)) {
            assertThat(killedRunDir).doesNotExist();
            Path seen = directory.resolve("seen.img");
            Tool.need("nbdcopy", next.uri(0), seen.toString());
            flushed.assertIn(seen);
            through.assertIn(seen);
            next.stop();
        }
    }

    private static Tool fio(RunningServe serve) throws Exception {
        Tool fio = Tool.start(
                "fio",
                "--name=load",
                "--ioengine=nbd",
                "--uri=" + serve.uri(0),
                "--rw=randwrite",
                "--bs=4k",
                "--iodepth=16",
                "--size=32m",
                "--fsync=64",
                "--time_based",
                "--runtime=60");
        fio.awaitOut(line -> line.contains("connected to NBD server"));
        return fio;
    }
}
