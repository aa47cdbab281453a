package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * {@code rate} as programs of Linux see it, both ways, over all queues together. What TCP wants to send is far more; four flows
 * use both of two queues.
 */
@Timeout(180)
final class ServeRateTest extends Checkout {
    private static final int RATE = 1_000_000; // bytes in a second

    /** What may come at once: the credit of a quarter of a second, and a frame for which there was a byte left. */
    private static final int BURST = RATE / 4 + 65_535;

    /** Enough to tell a rate from one for each of two queues. */
    private static final int BYTES = 3 * RATE;

    @TempDir
    private Path directory;

    private NicBench bench;

    @BeforeEach
    void start() throws Exception {
        bench = new NicBench(directory);
    }

    @AfterEach
    void close() throws Exception {
        bench.close();
    }

    private void serve(String options) throws Exception {
        String vif = "--vif=mac=00:16:3e:00:00:01,ip=10.0.0.2/24,host-ip=10.0.0.1/24,";
        bench.serve(1, vif + options, "--guest-netns=" + bench.guestNamespace());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void holdsWhatAGuestSendsToItsRate(int queues) throws Exception {
        serve("rate=1MB/s,queues=" + queues);
        startFlows();
        judge(() -> bench.host("cat", "/sys/class/net/xnb1i0/statistics/rx_bytes"));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void holdsWhatAGuestGetsToItsRate(int queues) throws Exception {
        serve("queues=" + queues);
        String node = "/local/domain/0/backend/vif/1/0/rate-to-guest";
        Map<String, String> store =
                Map.of("XENSTORED_PATH", bench.runDir().resolve("socket").toString());
        try (Tool write = Tool.start(List.of("xenstore-write", node, "50000,50000"), directory, store)) {
            assertThat(write.awaitEnd().status()).isZero();
        }
        startFlows("--reverse");
        judge(() -> bench.guest("cat", "/sys/class/net/xn0/statistics/rx_bytes"));
    }

    private void startFlows(String... options) throws Exception {
        Tool server = bench.startHost("iperf3", "--server", "--one-off", "--forceflush");
        server.awaitOut(line -> line.startsWith("Server listening"));
        List<String> words =
                new ArrayList<>(List.of("iperf3", "--client", "10.0.0.1", "--parallel", "4", "--time", "120"));
        words.addAll(List.of(options));
        bench.startGuest(words.toArray(String[]::new));
    }

    /** Waits for many bytes, from the time on when the rate is in force, and judges how long they took. */
    private void judge(Callable<String> received) throws Exception {
        Tool.awaitTrue(
                "a wait for the rate",
                () -> !bench.answer("sysctl", "-n", "dev.xnb.0.throttled").equals("0\n"));
        long beginNanos = System.nanoTime();
        long before = Long.parseLong(received.call().strip());
        Tool.awaitTrue(BYTES + " bytes", () -> Long.parseLong(received.call().strip()) - before > BYTES);
        long bytes = Long.parseLong(received.call().strip()) - before;
        double seconds = (System.nanoTime() - beginNanos) / 1e9;
        assertThat((double) bytes).isBetween(RATE * seconds / 2, RATE * seconds + BURST);
    }
}
