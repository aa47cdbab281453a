package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Two Ethernet devices joined by a crossover cable, as real programs see them. */
final class SplitNetTest {
    @TempDir
    Path dir;

    @ParameterizedTest
    @ValueSource(ints = {1500, 9000, 65000})
    void carriesPingsOfAnySizeBothWays(int mtu) throws Exception {
        try (Crossover cable = new Crossover(dir, 1, mtu)) {
            for (int size : new int[] {0, 1, 1000, mtu - 28}) {
                String[] ping = {"ping", "-q", "-c", "3", "-w", "20", "-i", "0.05", "-M", "do", "-s", "" + size};
                assertThat(cable.host(with(ping, Crossover.GUEST)))
                        .as(cable::numbers)
                        .contains("3 received");
                assertThat(cable.guest(with(ping, Crossover.HOST)))
                        .as(cable::numbers)
                        .contains("3 received");
            }
            assertThat(cable.row().counters().txPackets()).isGreaterThan(12);
            assertThat(cable.row().counters().rxPackets()).isGreaterThan(12);
        }
    }

    @Test
    void carriesTcpBothWays() throws Exception {
        try (Crossover cable = new Crossover(dir, 1, 1500)) {
            Process server = cable.startGuest("iperf3", "-s", "--forceflush");
            try {
                server.getInputStream().read(); // it listens
                assertThat(cable.host("iperf3", "-c", Crossover.GUEST, "-t", "2", "-f", "m"))
                        .contains("receiver");
                assertThat(cable.host("iperf3", "-c", Crossover.GUEST, "-t", "2", "-f", "m", "-R"))
                        .contains("receiver");
            } finally {
                server.destroy();
            }
        }
    }

    /** The kernel spreads flows over the queues of a TAP, and remembers where each came from. */
    @Test
    void spreadsFlowsOverQueues() throws Exception {
        try (Crossover cable = new Crossover(dir, 2, 1500)) {
            Process server = cable.startGuest("iperf3", "-s", "--forceflush");
            try {
                server.getInputStream().read();
                assertThat(cable.host("iperf3", "-c", Crossover.GUEST, "-t", "1", "-P", "16", "--bidir"))
                        .contains("receiver");
            } finally {
                server.destroy();
            }
            assertThat(cable.row().counters().queues()).hasSize(2).allSatisfy(queue -> {
                assertThat(queue.txPackets()).isPositive();
                assertThat(queue.rxPackets()).isPositive();
            });
        }
    }

    @Test
    void theMtuAndTheCarrierOfOneEndAreTheOthers() throws Exception {
        try (Crossover cable = new Crossover(dir, 1, 1500)) {
            String[] show = {"ip", "-o", "link", "show", cable.guestDevice()};
            cable.host("ip", "link", "set", cable.hostDevice(), "mtu", "4321");
            Await.until(() -> cable.guest(show).contains("mtu 4321"), () -> cable.guest(show));
            assertThat(cable.guest(show)).contains("00:16:3e:00:77:01").contains("LOWER_UP");
            cable.host("ip", "link", "set", cable.hostDevice(), "down");
            Await.until(() -> cable.guest(show).contains("NO-CARRIER"), () -> cable.guest(show));
            cable.host("ip", "link", "set", cable.hostDevice(), "up", "address", "02:00:00:00:00:05");
            Await.until(() -> cable.guest(show).contains("LOWER_UP"), () -> cable.guest(show));
            assertThat(cable.host("ping", "-q", "-c", "1", "-w", "20", Crossover.GUEST))
                    .contains("1 received");
        }
    }

    private static String[] with(String[] command, String last) {
        String[] all = java.util.Arrays.copyOf(command, command.length + 1);
        all[command.length] = last;
        return all;
    }
}
