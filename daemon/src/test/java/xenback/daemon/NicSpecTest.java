package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import xenback.net.packet.Mac;

final class NicSpecTest {
    @Test
    void readsEveryKey() throws Exception {
        NicSpec nic = NicSpec.parse("mac=00:16:3E:00:00:01,ip=10.0.0.2/24 fd00::2/64,guest=3,devid=2,vifname=web-in,"
                + "guest-name=eth0,mtu=9000,bridge=xenbr0,rate=1MB/s@20ms,queues=4,link=tap,script=/etc/xen/scripts/vif-bridge,"
                + "antispoof=on,offload=off,type=vif,gatewaydev=eth1,vlan=7");
        assertThat(nic)
                .isEqualTo(new NicSpec(
                        new Mac(0x00163E000001L),
                        List.of("10.0.0.2/24", "fd00::2/64"),
                        List.of(),
                        3,
                        Optional.of(2),
                        Optional.of("web-in"),
                        Optional.of("eth0"),
                        9000,
                        Optional.of("xenbr0"),
                        Optional.of(new NicRate(20_000, 20_000)),
                        4,
                        new LinkSpec.Tap(),
                        true,
                        false,
                        Optional.of(Path.of("/etc/xen/scripts/vif-bridge")),
                        Map.of("gatewaydev", "eth1", "vlan", "7")));
        assertThat(nic.interfaceName()).isEqualTo("xnb3i2");
        assertThat(nic.tapName()).isEqualTo("web-in");
    }

    @Test
    void choosesWhatIsLeftOut() throws Exception {
        NicSpec nic = NicSpec.parse("link=null");
        assertThat(nic.mac().toString()).startsWith("00:16:3e:");
        assertThat(nic.mac().isStation()).isTrue();
        assertThat(nic.mtu()).isEqualTo(1500);
        assertThat(nic.guestDomid()).isEqualTo(1);
        assertThat(nic.queues()).isEqualTo(1);
        assertThat(nic.antispoof()).isFalse();
        assertThat(nic.offload()).isTrue();
        assertThat(nic.link()).isEqualTo(new LinkSpec.Nowhere());
    }

    @ParameterizedTest
    @CsvSource({
        "tap, tap",
        "pcap:/tmp/a.pcapng, pcap:/tmp/a.pcapng",
        "hub:lan, hub:lan",
        "null, null",
        "loop, loop",
    })
    void readsEveryLink(String text, String shown) throws Exception {
        assertThat(NicSpec.parse("link=" + text).link()).hasToString(shown);
    }

    /** vif-openvswitch' VLAN and trunks are no part of a device's name. */
    @Test
    void leavesABridgesNameToItsScript() throws Exception {
        String bridge = "openvswitch-bridge.10:20:30";
        assertThat(NicSpec.parse("bridge=" + bridge + ",script=/s").bridge()).contains(bridge);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "bridge=br0:20 | bad bridge 'br0:20'; an interface's name has 1 to 15 letters, digits, '.', '_' or '-'",
                "bridge=a/b,script=/s | bad bridge 'a/b'; for a script it has letters, digits, '.', ':', '_' or '-'",
                "mac=00:16:3e:00:00 | bad mac '00:16:3e:00:00'; write it as 00:16:3e:00:00:01",
                "mac=01:00:5e:00:00:01 | bad mac '01:00:5e:00:00:01': it is a multicast address; an interface has an address of"
                        + " its own, such as 00:16:3e:00:00:01",
                "mac=00:00:00:00:00:00 | bad mac '00:00:00:00:00:00': it is zero; an interface has an address of its own, such"
                        + " as 00:16:3e:00:00:01",
                "ip=10.0.0.2 | bad address '10.0.0.2'; write it with its prefix, as 10.0.0.2/24 or fd00::2/64",
                "mtu=67 | bad mtu '67'; it is a number from 68 to 65521",
                "mtu=65522 | bad mtu '65522'; it is a number from 68 to 65521",
                "mtu=a | bad mtu 'a'; it is a number from 68 to 65521",
                "antispoof=1 | bad antispoof '1'; it is on or off",
                "offload=no | bad offload 'no'; it is on or off",
                "queues=0 | bad queues '0'; it is a number from 1 to 64",
                "guest=0 | bad guest '0'; it is a number from 1 to 32751",
                "vifname=sixteen-letters- | bad vifname 'sixteen-letters-'; an interface's name has 1 to 15 letters, digits,"
                        + " '.', '_' or '-'",
                "vifname=a/b | bad vifname 'a/b'; an interface's name has 1 to 15 letters, digits, '.', '_' or '-'",
                "link=wire | bad link 'wire'; known: tap, pcap:FILE, hub:NAME, null, loop",
                "link=pcap: | bad link 'pcap:'; known: tap, pcap:FILE, hub:NAME, null, loop",
                "link=null,bridge=br0 | bridge= is for link=tap, not for link=null",
                "script=/s,host-ip=10.0.0.1/24 | script= configures the interface; leave out host-ip=",
                "type=ioemu | bad type 'ioemu'; known: vif (there is no emulated card)",
                "backend=dom1 | backend= is for a toolstack that chooses a backend; xenback is the backend, leave it out",
                "mac | no value for mac; write it as mac=00:16:3e:00:00:01,ip=10.0.0.2/24",
                "mtu=1500,mtu=1500 | mtu is given twice",
            })
    void refusesInOneLine(String text, String why) {
        assertThatThrownBy(() -> NicSpec.parse(text))
                .isInstanceOfSatisfying(
                        UserError.class, e -> assertThat(e.exitCode()).isEqualTo(ExitCode.USAGE))
                .hasMessage("--vif " + text + ": " + why);
    }

    @Test
    void namesTheKeysThatThereAre() {
        assertThatThrownBy(() -> NicSpec.parse("model=e1000"))
                .hasMessage(
                        "--vif model=e1000: unknown key 'model'; known: mac, ip, host-ip, guest, devid, vifname,"
                                + " guest-name, mtu, bridge, rate, queues, link, antispoof, offload, script, type, gatewaydev, vlan");
    }

    /** The examples of xl-network-configuration(5). */
    @ParameterizedTest
    @CsvSource({
        "10Mb/s, '62500,50000'",
        "250KB/s, '12500,50000'",
        "1MB/s@20ms, '20000,20000'",
        "1GB/s, '50000000,50000'",
        "8000b/s@1s, '1000,1000000'",
        "100B/s@500000us, '50,500000'",
        "1.5Mb/s, '9375,50000'",
    })
    void readsRatesAsXlDoes(String text, String node) throws Exception {
        assertThat(NicRate.parse(text).node()).isEqualTo(node);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "10", "10Mb", "Mb/s", "-1Mb/s", "10Mb/s@", "10Mb/s@0ms", "0Mb/s", "1b/s@1us", "10Tb/s"})
    void refusesOtherRates(String text) {
        assertThatThrownBy(() -> NicRate.parse(text))
                .hasMessage("bad rate '" + text + "'; write it as 10Mb/s, 250KB/s or 1MB/s@20ms, and not 0");
    }

    @Test
    void numbersTheInterfacesOfEachGuest() throws Exception {
        List<NicSpec> nics = NicPreflight.numbered(List.of(
                NicSpec.parse("guest=1"),
                NicSpec.parse("guest=2"),
                NicSpec.parse("guest=1"),
                NicSpec.parse("guest=1,devid=0")));
        assertThat(nics.stream().map(NicSpec::interfaceName)).containsExactly("xnb1i1", "xnb2i0", "xnb1i2", "xnb1i0");
    }

    @Test
    void refusesTwoOfOneNumberOrName() {
        assertThatThrownBy(() -> NicPreflight.numbered(List.of(
                        NicSpec.parse("mac=00:16:3e:00:00:01,devid=1"),
                        NicSpec.parse("mac=00:16:3e:00:00:02,devid=1"))))
                .hasMessage(
                        "--vif 00:16:3e:00:00:02: devid 1 of domain 1 is taken by another --vif; choose another devid"
                                + " or guest=N");
        assertThatThrownBy(() -> NicPreflight.numbered(List.of(
                        NicSpec.parse("mac=00:16:3e:00:00:01,vifname=a"),
                        NicSpec.parse("mac=00:16:3e:00:00:02,vifname=a"))))
                .hasMessage("--vif 00:16:3e:00:00:02: the name a is taken by another --vif; choose another vifname");
    }
}
