package xenback.block.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.xen.io.EventLoop;

/** Once warm, the loop's thread allocates nothing for requests, whatever they are. */
@ParameterizedClass
@EnumSource(
        value = EventLoop.Engine.class,
        names = {"URING", "THREADS"})
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
final class NbdAllocationTest {
    private static final int BATCH = 64;
    private static final int PAYLOAD_BYTES = 4096;
    private static final int LONG_PAYLOAD_BYTES = 600_064; // longer than the inbox: received into a buffer of its own

    @Parameter
    EventLoop.Engine engine;

    @Test
    void allocatesNothingPerRequest() throws Exception {
        try (NbdFixture fixture = new NbdFixture(engine);
                NbdClient client = fixture.connect()) {
            long loopThread = fixture.loop.call(() -> Thread.currentThread().threadId());
            for (int i = 0; i < 200; i++) { // the compiler's own garbage and first uses of buffers
                batch(client);
            }
            // Until all is compiled, system calls cost some bytes each; code that allocates by itself never gets to 0.
            long least = Long.MAX_VALUE;

            int batches = 50;
            for (int attempt = 0; attempt < 60 && least > 0; attempt++) {
                long before = allocatedBytes(loopThread);
                for (int i = 0; i < batches; i++) {
                    batch(client);
                }
                least = Math.min(least, allocatedBytes(loopThread) - before);
            }

            assertThat(least)
                    .as("bytes for %d requests", batches * (3 * BATCH + 1))
                    .isZero();
        }
    }

    /** By reflection, because the module under test does not read jdk.management. */
    private static long allocatedBytes(long threadId) throws ReflectiveOperationException {
        Object threads = Class.forName("java.lang.management.ManagementFactory")
                .getMethod("getThreadMXBean")
                .invoke(null);
        return (long) Class.forName("com.sun.management.ThreadMXBean")
                .getMethod("getThreadAllocatedBytes", long.class)
                .invoke(threads, threadId);
    }

    /** Reads, writes and refusals, and one long write. */
    private static void batch(NbdClient client) throws IOException {
        ByteBuffer requests = NbdClient.buffer(BATCH * (3 * 28 + PAYLOAD_BYTES) + 28 + LONG_PAYLOAD_BYTES);
        for (int i = 0; i < BATCH; i++) {
            long offset = (long) i * PAYLOAD_BYTES;
            requests.put(NbdClient.requestHeader(0, NbdProtocol.CMD_READ, i, offset, PAYLOAD_BYTES)
                    .flip());
            requests.put(NbdClient.requestHeader(0, NbdProtocol.CMD_WRITE, i, offset, PAYLOAD_BYTES)
                    .flip());
            requests.position(requests.position() + PAYLOAD_BYTES);
            requests.put(NbdClient.requestHeader(0, 99, i, 0, 0).flip());
        }
        requests.put(NbdClient.requestHeader(0, NbdProtocol.CMD_WRITE, 0, 0, LONG_PAYLOAD_BYTES)
                .flip());
        requests.position(requests.position() + LONG_PAYLOAD_BYTES);
        client.send(requests);
        client.receive(BATCH * (28 + PAYLOAD_BYTES) + BATCH * 16 + BATCH * 16 + 16);
    }
}
