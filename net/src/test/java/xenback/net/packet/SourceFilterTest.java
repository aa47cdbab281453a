package xenback.net.packet;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.net.InetAddress;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Who may send what, rule by rule: for each a frame that passes and its neighbour that does not. */
final class SourceFilterTest {
    private static final String MINE = "00163e000001";
    private static final String OTHERS = "00163e000009";
    private static final String ALL = "ffffffffffff";
    private static final Mac STATION = new Mac(0x00163E000001L);

    private static final int UDP = 17;
    private static final int TCP = 6;
    private static final int ICMPV6 = 58;

    private static boolean passes(List<String> addresses, String hex) {
        MemorySegment frame = Frames.of(hex);
        return SourceFilter.of(STATION, addresses)
                .orElseThrow()
                .permits(frame, 0, (int) frame.byteSize(), new FrameHeaders());
    }

    private static String hex(String address) {
        return HexFormat.of().formatHex(InetAddress.ofLiteral(address).getAddress());
    }

    private static String ports(int from, int to) {
        return "%04x%04x".formatted(from, to) + "00080000";
    }

    private static String ipv4(String source, int protocol, String payload) {
        return ALL + MINE + ip4(source, protocol, payload);
    }

    private static String ip4(String source, int protocol, String payload) {
        return "0800" + "4500%04x00000000".formatted(20 + payload.length() / 2) + "40%02x0000".formatted(protocol)
                + hex(source) + hex("10.0.0.1") + payload;
    }

    private static String ipv6(String source, int protocol, String payload) {
        return ALL + MINE + ip6(source, protocol, payload);
    }

    private static String ip6(String source, int protocol, String payload) {
        return "86dd60000000" + "%04x%02xff".formatted(payload.length() / 2, protocol) + hex(source) + hex("ff02::1")
                + payload;
    }

    /** Of ICMPv6, with a target where neighbour discovery has it. */
    private static String discovery(int type, String target) {
        return "%02x00000000000000".formatted(type) + hex(target);
    }

    private static String arp(String senderMac, String sender) {
        return arp(senderMac, sender, "10.0.0.1");
    }

    private static String arp(String senderMac, String sender, String target) {
        return "0806" + "0001080006040001" + senderMac + hex(sender) + "000000000000" + hex(target);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "10.0.0.2", "fd00::2"})
    void aFrameHasTheStationsAddress(String ip) {
        List<String> addresses = ip.isEmpty() ? List.of() : List.of(ip);
        assertThat(passes(addresses, ALL + MINE + "88b5" + "00".repeat(46))).isTrue();
        assertThat(passes(addresses, ALL + OTHERS + "88b5" + "00".repeat(46))).isFalse();
    }

    @ParameterizedTest
    @CsvSource({
        "10.0.0.2, true",
        "10.0.0.3, false",
        "0.0.0.0, false",
        "192.168.1.7, true",
        "192.168.2.7, false",
    })
    void anIpv4SourceIsOneOfThoseThatWereGiven(String source, boolean passes) {
        for (String payload : List.of(ports(68, 53), ports(67, 68), ports(1000, 67))) {
            assertThat(passes(List.of("10.0.0.2", "192.168.1.0/24"), ipv4(source, UDP, payload)))
                    .isEqualTo(passes);
        }
    }

    @Test
    void withoutAddressesOnlyTheStationIsLookedAt() {
        assertThat(passes(List.of(), ipv4("9.9.9.9", UDP, ports(1, 2)))).isTrue();
        assertThat(passes(List.of(), ipv6("2001:db8::9", UDP, ports(1, 2)))).isTrue();
        assertThat(passes(List.of(), ALL + MINE + arp(MINE, "9.9.9.9"))).isTrue();
        assertThat(passes(List.of(), ALL + MINE + arp(OTHERS, "9.9.9.9"))).isFalse();
    }

    @Test
    void withIpv6AddressesAloneThereIsNoIpv4() {
        assertThat(passes(List.of("fd00::2"), ipv4("9.9.9.9", UDP, ports(1, 2))))
                .isFalse();
        assertThat(passes(List.of("fd00::2"), ALL + MINE + arp(MINE, "9.9.9.9")))
                .isFalse();
    }

    @Test
    void withIpv4AddressesAloneIpv6IsFree() {
        assertThat(passes(List.of("10.0.0.2"), ipv6("2001:db8::9", UDP, ports(1, 2))))
                .isTrue();
    }

    @Test
    void aGuestWithoutAnAddressMayAskForOneByDhcp() {
        assertThat(passes(List.of("10.0.0.2"), ipv4("0.0.0.0", UDP, ports(68, 67))))
                .isTrue();
        assertThat(passes(
                        List.of("10.0.0.2"),
                        ipv4("0.0.0.0", TCP, ports(68, 67) + "00".repeat(4) + "5000" + "00".repeat(6))))
                .isFalse();
        assertThat(passes(List.of("10.0.0.2"), ipv4("10.0.0.3", UDP, ports(68, 67))))
                .isFalse();
    }

    @ParameterizedTest
    @CsvSource({
        MINE + ", 10.0.0.2, 10.0.0.1, true",
        MINE + ", 0.0.0.0, 10.0.0.2, true", // a probe, RFC 5227
        MINE + ", 0.0.0.0, 0.0.0.0, true", // asks for its own, RFC 903
        MINE + ", 0.0.0.0, 10.0.0.3, false", // would have that one give its address up
        MINE + ", 10.0.0.3, 10.0.0.1, false",
        OTHERS + ", 10.0.0.2, 10.0.0.1, false",
    })
    void arpSpeaksForItsSender(String mac, String ip, String target, boolean passes) {
        assertThat(passes(List.of("10.0.0.2"), ALL + MINE + arp(mac, ip, target)))
                .isEqualTo(passes);
        String reverse = arp(mac, ip, target).replaceFirst("0806", "8035");
        assertThat(passes(List.of("10.0.0.2"), ALL + MINE + reverse)).isEqualTo(passes);
    }

    @Test
    void arpThatIsCutShortOrOfAnotherKindIsNoArp() {
        String whole = ALL + MINE + arp(MINE, "10.0.0.2");
        assertThat(passes(List.of("10.0.0.2"), whole.substring(0, whole.length() - 2)))
                .isFalse();
        assertThat(passes(List.of("10.0.0.2"), whole.replace("00010800060400", "00010800080400")))
                .isFalse();
    }

    @ParameterizedTest
    @CsvSource({
        "fd00::2, true",
        "fe80::216:3eff:fe00:1, true", // of the station
        "fe80::216:3eff:fe00:9, false",
        "fe80::1, false",
        "fd00::3, false",
        "fd01::7, true",
        "fd02::7, false",
        "::, false",
    })
    void anIpv6SourceIsOneOfThoseThatWereGivenOrTheStationsOwn(String source, boolean passes) {
        List<String> addresses = List.of("10.0.0.2", "fd00::2", "fd01::/16");
        assertThat(passes(addresses, ipv6(source, UDP, ports(1, 2)))).isEqualTo(passes);
        assertThat(passes(addresses, ipv6(source, ICMPV6, discovery(128, "::"))))
                .isEqualTo(passes);
    }

    @ParameterizedTest
    @CsvSource({
        "135, fd00::2, true", // is it taken? RFC 4862
        "135, fd00::3, false",
        "133, ::, true",
        "143, ::, true",
        "131, ::, true",
        "134, ::, false",
        "136, fd00::2, false",
        "128, ::, false",
    })
    void withoutAnAddressOnlyTheBeginningOfIpv6IsSaid(int type, String target, boolean passes) {
        assertThat(passes(List.of("fd00::2"), ipv6("::", ICMPV6, discovery(type, target))))
                .isEqualTo(passes);
    }

    @Test
    void anAdvertisementSpeaksForItsTarget() {
        List<String> addresses = List.of("fd00::2");
        assertThat(passes(addresses, ipv6("fd00::2", ICMPV6, discovery(136, "fd00::2"))))
                .isTrue();
        assertThat(passes(addresses, ipv6("fd00::2", ICMPV6, discovery(136, "fd00::3"))))
                .isFalse();
        assertThat(passes(
                        addresses,
                        ipv6("fd00::2", ICMPV6, discovery(136, "fd00::2").substring(0, 46))))
                .isFalse();
        // behind a destination option too
        String option = "3a00010400000000" + discovery(136, "fd00::3");
        assertThat(passes(addresses, ipv6("fd00::2", 60, option))).isFalse();
        // and where it can be hidden nothing passes: more headers than are looked behind
        String hidden = "3c00010400000000".repeat(FrameHeaders.MAX_EXTENSIONS) + option;
        assertThat(passes(addresses, ipv6("fd00::2", 60, hidden))).isFalse();
        // or a length of zero, which Linux takes for the frame's where the first header is hop by hop
        String endless = ipv6("fd00::2", 0, option).replaceFirst("86dd60000000....", "86dd600000000000");
        assertThat(passes(addresses, endless)).isFalse();
        // and a question may be about anybody
        assertThat(passes(addresses, ipv6("fd00::2", ICMPV6, discovery(135, "fd00::3"))))
                .isTrue();
    }

    @ParameterizedTest
    @ValueSource(strings = {"81000005", "88a80005" + "81000006", "91000005"})
    void vlanTagsHideNothing(String tags) {
        List<String> addresses = List.of("10.0.0.2", "fd00::2");
        String front = ALL + MINE + tags;
        assertThat(passes(addresses, front + ip4("10.0.0.2", UDP, ports(1, 2)))).isTrue();
        assertThat(passes(addresses, front + ip4("10.0.0.3", UDP, ports(1, 2)))).isFalse();
        assertThat(passes(addresses, front + ip6("fd00::2", UDP, ports(1, 2)))).isTrue();
        assertThat(passes(addresses, front + ip6("fd00::3", UDP, ports(1, 2)))).isFalse();
        assertThat(passes(addresses, front + arp(MINE, "10.0.0.2"))).isTrue();
        assertThat(passes(addresses, front + arp(MINE, "10.0.0.3"))).isFalse();
    }

    @Test
    void moreTagsThanAreLookedBehindDoNotPass() {
        String behind = ip4("10.0.0.2", UDP, ports(1, 2));
        assertThat(passes(List.of(), ALL + MINE + "81000005".repeat(FrameHeaders.MAX_TAGS) + behind))
                .isTrue();
        assertThat(passes(List.of(), ALL + MINE + "81000005".repeat(FrameHeaders.MAX_TAGS + 1) + behind))
                .isFalse();
    }

    @Test
    void whatIsNotWellFormedHasNoSource() {
        List<String> addresses = List.of("10.0.0.2", "fd00::2");
        assertThat(passes(addresses, ALL + MINE + "0800" + "45000014")).isFalse();
        // nor is one found elsewhere: these are octets of the station's address
        assertThat(passes(List.of("22.62.0.0"), ALL + MINE + "0800" + "45000014"))
                .isFalse();
        assertThat(passes(addresses, ipv4("10.0.0.2", UDP, "").replace("08004500", "08006500")))
                .isFalse();
        assertThat(passes(addresses, ALL + MINE + "86dd" + "60000000")).isFalse();
    }

    /** IP in SNAP is no IP for Linux, but for others (RFC 1042); the spanning tree's frames are not IP. */
    @Test
    void ipInSnapDoesNotPass() {
        String snap = ALL + MINE + "0022" + "aaaa03000000" + ip4("10.0.0.3", UDP, ports(1, 2));
        assertThat(passes(List.of("10.0.0.2"), snap)).isFalse();
        assertThat(passes(List.of(), snap)).isTrue();
        assertThat(passes(List.of("10.0.0.2"), ALL + MINE + "0026" + "424203" + "00".repeat(43)))
                .isTrue();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"10.0.0", "10.0.0.256", "10.0.0.2/33", "fd00::2/129", "fd00::1::2", "host", "10.0.0.2/", ""})
    void refusesWhatIsNoAddress(String text) {
        assertThat(SourceFilter.of(STATION, List.of(text))).isEmpty();
    }

    @Test
    void noneLetsEverythingPass() {
        MemorySegment frame = Frames.of(ALL + OTHERS + ip4("9.9.9.9", UDP, ports(1, 2)));
        assertThat(SourceFilter.NONE.permits(frame, 0, (int) frame.byteSize(), new FrameHeaders()))
                .isTrue();
    }
}
