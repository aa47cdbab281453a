package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * Writes blocks to a disk one after the other, each with content of its own, and remembers how many were acknowledged as
 * durable. What was acknowledged must be found again, whatever happened to the server.
 */
final class NumberedBlocks {
    private static final int BLOCK_BYTES = 4096;
    private static final int LONGEST_BATCH = 16;

    /** What makes a write durable. */
    enum Durability {
        /** A flush after a batch of writes. */
        FLUSH,
        /** The flag FUA on each write. */
        FUA
    }

    private final long seed;
    private final long offsetBytes;
    private final int capacity;
    private final Durability durability;
    private int acknowledged; // guarded by this
    private @Nullable IOException end; // guarded by this

    /**
     * @param offsetBytes where block 0 lies
     * @param lengthBytes the room for all blocks
     */
    NumberedBlocks(long seed, long offsetBytes, long lengthBytes, Durability durability) {
        this.seed = seed;
        this.offsetBytes = offsetBytes;
        this.capacity = (int) (lengthBytes / BLOCK_BYTES);
        this.durability = durability;
    }

    /** Starts to write on a thread of its own, until the connection ends or the room is used up. */
    void start(NbdClient client) {
        Thread.ofPlatform().daemon().name("blocks-" + durability).start(() -> {
            try (client) {
                run(client);
                ended(new IOException("all " + capacity + " blocks are written"));
            } catch (IOException e) {
                ended(e);
            }
        });
    }

    /** Blocks that are durable by now. */
    synchronized int acknowledged() {
        return acknowledged;
    }

    /** Waits until so many blocks are durable; fails if the writing ended before. */
    synchronized void awaitAcknowledged(int blocks) throws InterruptedException {
        while (acknowledged < blocks) {
            if (end != null) {
                throw new AssertionError("ended after " + acknowledged + " blocks", end);
            }
            wait();
        }
    }

    /** Waits for the end of the writing, and gives its reason. */
    synchronized IOException awaitEnd() throws InterruptedException {
        while (end == null) {
            wait();
        }
        return end;
    }

    /** After {@link #awaitEnd}: every acknowledged block is in the image. Returns how many. */
    int assertIn(Path image) throws IOException {
        int blocks = acknowledged();
        try (FileChannel channel = FileChannel.open(image, StandardOpenOption.READ)) {
            for (int number = 0; number < blocks; number++) {
                ByteBuffer found = ByteBuffer.allocate(BLOCK_BYTES);
                channel.read(found, offset(number));
                assertThat(found.array())
                        .as("block %d of %d, seed %d, %s", number, blocks, seed, durability)
                        .isEqualTo(block(number));
            }
        }
        return blocks;
    }

    private void run(NbdClient client) throws IOException {
        var random = new SplittableRandom(seed);
        int next = 0;
        while (next < capacity) {
            int batchEnd = durability == Durability.FUA
                    ? next + 1
                    : Math.min(capacity, next + random.nextInt(1, LONGEST_BATCH + 1));
            for (; next < batchEnd; next++) {
                if (durability == Durability.FUA) {
                    client.writeThrough(offset(next), block(next));
                } else {
                    client.write(offset(next), block(next));
                }
            }
            if (durability == Durability.FLUSH) {
                client.flush();
            }
            acknowledge(next);
        }
    }

    private synchronized void acknowledge(int blocks) {
        acknowledged = blocks;
        notifyAll();
    }

    private synchronized void ended(IOException reason) {
        end = reason;
        notifyAll();
    }

    private long offset(int number) {
        return offsetBytes + (long) number * BLOCK_BYTES;
    }

    private byte[] block(int number) {
        byte[] block = new byte[BLOCK_BYTES];
        new SplittableRandom(seed * 31 + number).nextBytes(block);
        return block;
    }
}
