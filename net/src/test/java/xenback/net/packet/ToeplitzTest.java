package xenback.net.packet;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.net.InetAddress;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The suite that Microsoft publishes for RSS ("Verifying the RSS Hash Calculation"). */
class ToeplitzTest {
    private static final byte[] KEY =
            Frames.bytes("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa");
    private static final int ALL = Toeplitz.IPV4 | Toeplitz.IPV4_TCP | Toeplitz.IPV6 | Toeplitz.IPV6_TCP;

    private final Toeplitz toeplitz = new Toeplitz();

    @ParameterizedTest
    @CsvSource({
        "66.9.149.187, 2794, 161.142.100.80, 1766, 323e8fc2, 51ccc178",
        "199.92.111.2, 14230, 65.69.140.83, 4739, d718262a, c626b0ea",
        "24.19.198.95, 12898, 12.22.207.184, 38024, d2d0a5de, 5c2b394a",
        "38.27.205.30, 48228, 209.142.163.6, 2217, 82989176, afc7327f",
        "153.39.163.191, 44251, 202.188.127.2, 1303, 5d1809c5, 10e828a2",
        "3ffe:2501:200:1fff::7, 2794, 3ffe:2501:200:3::1, 1766, 2cc18cd5, 40207d3d",
        "3ffe:501:8::260:97ff:fe40:efab, 14230, ff02::1, 4739, 0f0c461c, dde51bbf",
        "3ffe:1900:4545:3:200:f8ff:fe21:67cf, 44251, fe80::200:f8ff:fe21:67cf, 38024, 4b61e985, 02d1feef",
    })
    void hashesAsPublished(
            String source, int sourcePort, String destination, int destinationPort, String ip, String tcp)
            throws Exception {
        toeplitz.setKey(KEY);
        MemorySegment frame = tcpFrame(source, sourcePort, destination, destinationPort);
        FrameHeaders headers = Frames.parse(frame);
        int version = headers.ipVersion() == 6 ? 2 : 0;

        assertThat(Integer.toUnsignedLong(toeplitz.hash(frame, 0, headers, ALL)))
                .isEqualTo(Long.parseLong(tcp, 16));
        assertThat(toeplitz.type()).isEqualTo(version + 1);

        int addressesOnly = Toeplitz.IPV4 | Toeplitz.IPV6;
        assertThat(Integer.toUnsignedLong(toeplitz.hash(frame, 0, headers, addressesOnly)))
                .isEqualTo(Long.parseLong(ip, 16));
        assertThat(toeplitz.type()).isEqualTo(version);
    }

    private static MemorySegment tcpFrame(String source, int sourcePort, String destination, int destinationPort)
            throws Exception {
        byte[] from = InetAddress.ofLiteral(source).getAddress();
        byte[] to = InetAddress.ofLiteral(destination).getAddress();
        boolean six = from.length == 16;
        int l4 = six ? 54 : 34;
        MemorySegment frame = MemorySegment.ofArray(new byte[l4 + 20]);
        Frames.put16(frame, 12, six ? FrameHeaders.ETHERTYPE_IPV6 : FrameHeaders.ETHERTYPE_IPV4);
        Frames.put16(frame, 14, six ? 0x6000 : 0x4500);
        Frames.put16(frame, six ? 18 : 16, six ? 20 : 40);
        frame.set(FrameHeaders.BYTE, six ? 20 : 23, (byte) 6);
        MemorySegment.copy(MemorySegment.ofArray(from), 0, frame, l4 - 2L * from.length, from.length);
        MemorySegment.copy(MemorySegment.ofArray(to), 0, frame, l4 - to.length, to.length);
        Frames.put16(frame, l4, sourcePort);
        Frames.put16(frame, l4 + 2, destinationPort);
        frame.set(FrameHeaders.BYTE, l4 + 12, (byte) 0x50);
        return frame;
    }

    @Test
    void hashesFragmentsByTheirAddresses() {
        toeplitz.setKey(KEY);
        MemorySegment frame = Frames.of(Frames.XNB_TCP);
        int whole = toeplitz.hash(frame, 0, Frames.parse(frame), Toeplitz.IPV4);
        Frames.put16(frame, 20, 0x2000);

        assertThat(toeplitz.hash(frame, 0, Frames.parse(frame), ALL)).isEqualTo(whole);
        assertThat(toeplitz.type()).isZero();
    }

    @Test
    void hashesNothingThatIsNotWanted() {
        toeplitz.setKey(KEY);
        MemorySegment frame = Frames.of(Frames.XNB_UDP);

        assertThat(toeplitz.hash(frame, 0, Frames.parse(frame), Toeplitz.IPV4_TCP | Toeplitz.IPV6 | Toeplitz.IPV6_TCP))
                .isZero();
        assertThat(toeplitz.type()).isEqualTo(-1);
    }

    /** Linux' netif.h: what the key lacks is zeroes. */
    @Test
    void shortKeyGoesOnWithZeroes() {
        MemorySegment frame = Frames.of(Frames.XNB_TCP);
        FrameHeaders headers = Frames.parse(frame);
        byte[] padded = new byte[40];
        System.arraycopy(KEY, 0, padded, 0, 5);
        toeplitz.setKey(padded);
        int expected = toeplitz.hash(frame, 0, headers, ALL);
        byte[] five = new byte[5];
        System.arraycopy(KEY, 0, five, 0, 5);

        toeplitz.setKey(KEY);
        toeplitz.setKey(five);

        assertThat(toeplitz.hash(frame, 0, headers, ALL)).isEqualTo(expected);
    }
}
