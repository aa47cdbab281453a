package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A guest gets its address by DHCP over a bridge of the host: the packets' checksums are blank on their way, and clients with
 * packet sockets take them for wrong ones if nobody fills them in; hence the folklore of CHECKSUM --checksum-fill.
 */
class DhcpTest {
    @TempDir
    private Path dir;

    @Test
    void aGuestGetsItsAddressThroughABridge() throws Exception {
        try (Crossover cable = new Crossover(dir, 1, 1500)) {
            cable.host("ip", "link", "add", "xenbr0", "type", "bridge", "forward_delay", "0");
            cable.host("ip", "address", "flush", "dev", cable.hostDevice());
            cable.host("ip", "link", "set", cable.hostDevice(), "master", "xenbr0");
            cable.host("ip", "link", "set", "xenbr0", "up");
            cable.host("ip", "address", "add", "10.124.0.1/24", "dev", "xenbr0");
            cable.guest("ip", "address", "flush", "dev", cable.guestDevice());
            Process server = cable.startHost(
                    "dnsmasq",
                    "--no-daemon",
                    "--conf-file=/dev/null",
                    "--port=0",
                    "--interface=xenbr0",
                    "--bind-interfaces",
                    "--leasefile-ro",
                    "--dhcp-no-override",
                    "--no-ping",
                    "--user=root",
                    "--dhcp-range=10.124.0.50,10.124.0.50,1h");
            try {
                server.getErrorStream().close();
                String said = cable.guest(
                        "busybox",
                        "udhcpc",
                        "-f",
                        "-q",
                        "-n",
                        "-t",
                        "20",
                        "-T",
                        "1",
                        "-s",
                        "/bin/true",
                        "-i",
                        cable.guestDevice());
                assertThat(said).contains("lease of 10.124.0.50 obtained");
            } finally {
                server.destroy();
                server.waitFor(10, TimeUnit.SECONDS);
            }
        }
    }
}
