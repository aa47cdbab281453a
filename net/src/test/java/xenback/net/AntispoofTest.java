package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import xenback.net.backend.NetDrop;
import xenback.net.backend.NetOptions;
import xenback.net.protocol.Netif;
import xenback.xen.XenException;

/** The node {@code antispoof} of an interface, through its rings. */
final class AntispoofTest {
    private static final int BLANK = Netif.TX_CSUM_BLANK | Netif.TX_DATA_VALIDATED;

    @TempDir
    private Path dir;

    private NetMachine machine;
    private HostileNetGuest guest;

    private HostileNetGuest start(String... backendNodes) throws Exception {
        return start(NetOptions.usual(), backendNodes);
    }

    private HostileNetGuest start(NetOptions options, String... backendNodes) throws Exception {
        machine = new NetMachine(dir, options);
        guest = machine.hostile(1, backendNodes);
        return guest;
    }

    @AfterEach
    void close() {
        machine.close();
    }

    /** From a station and 10.0.0.{@code host}. */
    private static byte[] from(int station, int host) {
        byte[] frame = PlainFrames.frame(4, PlainFrames.UDP, 1, 100);
        frame[11] = (byte) station;
        frame[18 + 15] = (byte) host;
        return frame;
    }

    /** The guest is answered as ever, and the frame is gone and counted. */
    private void assertDropped(byte[] frame, int flags) throws Exception {
        int sent = guest.link().sent().size();
        long dropped = guest.counters().drops(NetDrop.SPOOFED);
        long packets = guest.counters().txPackets();
        assertThat(guest.sendFrame(frame, flags, 4096)).containsOnly(0);
        assertThat(guest.link().sent()).hasSize(sent);
        assertThat(guest.counters().drops(NetDrop.SPOOFED)).isEqualTo(dropped + 1);
        assertThat(guest.counters().txPackets()).isEqualTo(packets);
    }

    private void assertSent(byte[] frame, int flags) throws Exception {
        int sent = guest.link().sent().size();
        assertThat(guest.sendFrame(frame, flags, 4096)).containsOnly(0);
        assertThat(guest.link().sent()).hasSize(sent + 1);
    }

    @ParameterizedTest
    @CsvSource({"0", BLANK + ""})
    void dropsWhatComesFromAnotherStationOrAddress(int flags) throws Exception {
        start("antispoof", "1", "ip", "10.0.0.2 10.0.0.4").connect();
        assertSent(from(1, 2), flags);
        assertDropped(from(9, 2), flags);
        assertDropped(from(1, 3), flags);
        assertSent(from(1, 4), flags);
    }

    @Test
    void withoutAddressesTheStationAloneIsHeldTo() throws Exception {
        start("antispoof", "1").connect();
        assertSent(from(1, 3), 0);
        assertDropped(from(9, 3), 0);
    }

    @ParameterizedTest
    @CsvSource({"0", ","})
    void isOffUnlessItIsSwitchedOn(String value) throws Exception {
        String[] nodes =
                value == null ? new String[] {"ip", "10.0.0.2"} : new String[] {"ip", "10.0.0.2", "antispoof", value};
        start(nodes).connect();
        assertSent(from(9, 3), 0);
        assertThat(guest.counters().drops(NetDrop.SPOOFED)).isZero();
    }

    @Test
    void holdsForAllInterfacesIfTheOperatorSaysSo() throws Exception {
        start(NetOptions.usual().withAntispoof(true), "ip", "10.0.0.2").connect();
        assertSent(from(1, 2), 0);
        assertDropped(from(1, 3), 0);
    }

    @Test
    void exceptsAnInterfaceWhoseNodeSaysSo() throws Exception {
        start(NetOptions.usual().withAntispoof(true), "ip", "10.0.0.2", "antispoof", "0")
                .connect();
        assertSent(from(9, 3), 0);
    }

    /** A script of the toolstack comes after the interface was opened, and before the guest. */
    @Test
    void mayBeSwitchedOnUntilTheGuestConnects() throws Exception {
        start("ip", "10.0.0.2");
        guest.writeBackend("antispoof", "1");
        guest.connect();
        assertDropped(from(1, 3), 0);
    }

    @ParameterizedTest
    @CsvSource({
        "antispoof, yes, 0 or 1 is wanted",
        "ip, 10.0.0, antispoof wants addresses with blanks between them",
    })
    void whatMakesNoSenseIsRefused(String key, String value, String why) {
        String[] nodes =
                key.equals("antispoof") ? new String[] {key, value} : new String[] {"antispoof", "1", key, value};
        assertThatThrownBy(() -> start(nodes))
                .isInstanceOf(XenException.class)
                .hasMessageContaining("backend/vif/1/0: " + key)
                .hasMessageContaining(why);
    }
}
