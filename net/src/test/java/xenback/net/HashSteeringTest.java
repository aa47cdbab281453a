package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.net.backend.NetOptions;
import xenback.net.frontend.XnFeature;
import xenback.net.frontend.XnOptions;

/** A guest that has set a hash gets each flow by one queue, whichever queue of the link the frames come by. */
class HashSteeringTest {
    private static final int FLOWS = 50;
    private static final int ROUNDS = 20;

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private NetMachine machine;

    @BeforeEach
    void start() throws Exception {
        machine = new NetMachine(dir, NetOptions.usual().withQueues(3));
    }

    @AfterEach
    void close() {
        machine.close();
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    @Test
    void aFlowStaysOnItsQueueAndFlowsAreSpread() throws Exception {
        WireLink guest = new WireLink("guest");
        machine.startXn(machine.guest(1), XnOptions.usual().with(XnFeature.HASH), guest, 3);
        WireLink host = machine.link(1);
        for (int round = 1; round <= ROUNDS; round++) {
            for (int flow = 0; flow < FLOWS; flow++) {
                byte[] frame = PlainFrames.frame(4, PlainFrames.TCP, 0, 100);
                frame[35] = (byte) flow; // source port
                frame[54] = (byte) round;
                host.put(round % 3, PlainFrames.finished(frame, 0));
            }
            int wanted = round * FLOWS;
            Await.until(() -> guest.sent().size() == wanted, () -> guest.sent().size() + " of " + wanted);
        }
        Map<Integer, Integer> queueOfFlow = new HashMap<>();
        Map<Integer, Integer> rounds = new HashMap<>();
        for (int queue = 0; queue < 3; queue++) {
            assertThat(guest.sent(queue)).as("queue %d", queue).isNotEmpty();
            for (byte[] sent : guest.sent(queue)) {
                int flow = sent[10 + 35];
                assertThat(queueOfFlow.merge(flow, queue, (before, now) -> before.equals(now) ? now : -1))
                        .as("flow %d", flow)
                        .isEqualTo(queue);
                assertThat(rounds.merge(flow, 1, Integer::sum)).as("in order").isEqualTo(sent[10 + 54]);
            }
        }
        assertThat(machine.counters(1).rxDropped()).isZero();
    }
}
