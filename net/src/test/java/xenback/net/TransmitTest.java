package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import xenback.net.HostileNetGuest.Slot;
import xenback.net.backend.NetDrop;
import xenback.net.backend.NetOptions;
import xenback.net.protocol.NetRule;
import xenback.net.protocol.Netif;

/** How frames from a guest come to the link: what is told of them in front, and their checksums. */
class TransmitTest {
    private static final int BLANK = Netif.TX_CSUM_BLANK | Netif.TX_DATA_VALIDATED;

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private NetMachine machine;
    private HostileNetGuest guest;

    @BeforeEach
    void start() throws Exception {
        machine = new NetMachine(dir, NetOptions.usual());
        guest = new HostileNetGuest(machine, machine.guest(1)).connect();
    }

    @AfterEach
    void close() {
        guest.close();
        machine.close();
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    /** Sends a frame and gives back what came to the link, header and all. */
    private byte[] sent(byte[] frame, int flags) throws Exception {
        int before = guest.link().sent().size();
        assertThat(guest.sendFrame(frame, flags, 4096)).containsOnly(0);
        List<byte[]> sent = guest.link().sent();
        assertThat(sent).hasSize(before + 1);
        return sent.getLast();
    }

    private static int u16(byte[] header, int at) {
        return header[at] & 0xFF | (header[at + 1] & 0xFF) << 8;
    }

    /** The sum that stands there is a guest's: it is made anew, and the link is told where it is. */
    @ParameterizedTest
    @CsvSource({"4, 6, 0", "4, 17, 0", "6, 6, 0", "6, 17, 0", "4, 6, 1", "4, 17, 2", "6, 17, 1", "6, 6, 2"})
    void aBlankChecksumIsMadeReadyForWhoeverFillsItIn(int version, int protocol, int tags) throws Exception {
        for (int flags : new int[] {BLANK, Netif.TX_CSUM_BLANK}) { // NetBSD's says the one alone
            byte[] frame = PlainFrames.frame(version, protocol, tags, 1000);

            byte[] sent = sent(frame, flags);

            byte[] partial = PlainFrames.partial(frame.clone(), 0, 0);
            System.arraycopy(PlainFrames.behind(partial), 0, partial, 10, frame.length);
            byte[] expected = frame.clone();
            PlainFrames.partial(expected, 0, 0);
            assertThat(PlainFrames.behind(sent)).isEqualTo(expected);
            assertThat(sent[0]).isEqualTo((byte) PlainFrames.NEEDS_CSUM);
            assertThat(u16(sent, 6)).isEqualTo(PlainFrames.l4(frame));
            assertThat(u16(sent, 8)).isEqualTo(protocol == PlainFrames.TCP ? 16 : 6);
        }
    }

    /** Who fills a checksum in sums up to the frame's end, padding and all. */
    @Test
    void whatFollowsThePacketIsLeftOff() throws Exception {
        byte[] frame = PlainFrames.frame(4, PlainFrames.UDP, 0, 3);
        byte[] padded = Arrays.copyOf(frame, 64);
        Arrays.fill(padded, frame.length, 64, (byte) 0x5A);
        assertThat(sent(padded, BLANK)).hasSize(10 + frame.length);
    }

    /** Fragments of a datagram have no checksum of their own; xnb(4) of FreeBSD wrote one into their payload. */
    @Test
    void aFragmentWithABlankChecksumGoesAsItIs() throws Exception {
        byte[] frame = PlainFrames.frame(4, PlainFrames.UDP, 0, 800);
        frame[20] = 0x20; // more fragments
        byte[] sent = sent(frame, BLANK);
        assertThat(sent[0]).isZero();
        assertThat(Arrays.copyOfRange(sent, 10 + 34, sent.length))
                .isEqualTo(Arrays.copyOfRange(frame, 34, frame.length));
        assertThat(guest.counters().violations(NetRule.NO_CHECKSUM_FIELD)).isOne();
    }

    @Test
    void aBlankIpv4HeaderIsFilledInWithTheRest() throws Exception {
        byte[] right = PlainFrames.frame(4, PlainFrames.TCP, 0, 100);
        assertSameIpv4Header(sent(withBlankIpv4Header(right), BLANK), right);
    }

    private static byte[] withBlankIpv4Header(byte[] frame) {
        byte[] blank = frame.clone();
        blank[24] = 0;
        blank[25] = 0;
        return blank;
    }

    private static void assertSameIpv4Header(byte[] sent, byte[] frame) {
        assertThat(Arrays.copyOfRange(sent, 10 + 14, 10 + 34)).isEqualTo(Arrays.copyOfRange(frame, 14, 34));
    }

    @Test
    void whatTheGuestVouchesForTheLinkIsToldOf() throws Exception {
        byte[] frame = PlainFrames.frame(4, PlainFrames.TCP, 0, 100);
        byte[] sent = sent(frame, Netif.TX_DATA_VALIDATED);
        assertThat(sent[0]).isEqualTo((byte) PlainFrames.DATA_VALID);
        assertThat(PlainFrames.behind(sent)).isEqualTo(frame);
        assertThat(sent(frame, 0)[0]).isZero();
    }

    @ParameterizedTest
    @CsvSource({"4, 1, 1, 0", "6, 2, 4, 0", "4, 1, 1, 1"})
    void aLargeFrameGoesWholeWithItsSegmentSize(int version, int gsoType, int vnetType, int tags) throws Exception {
        byte[] frame = PlainFrames.frame(version, PlainFrames.TCP, tags, 30_000);
        assertThat(sendLarge(frame, gsoType, 1448))
                .startsWith(0, (int) Netif.STATUS_NULL, 0)
                .hasSize(9);
        byte[] sent = guest.link().sent().getLast();
        assertThat(sent).hasSize(10 + frame.length);
        assertThat(sent[1]).isEqualTo((byte) vnetType);
        assertThat(u16(sent, 2)).as("headers").isEqualTo(PlainFrames.l4(frame) + 20);
        assertThat(u16(sent, 4)).isEqualTo(1448);
        assertThat(u16(sent, 6)).isEqualTo(PlainFrames.l4(frame));
        assertThat(u16(sent, 8)).isEqualTo(16);
    }

    private List<Integer> sendLarge(byte[] frame, int gsoType, int segmentBytes) throws Exception {
        int first = guest.txProd();
        for (int i = 0; i * 4096 < frame.length; i++) {
            int bytes = Math.min(4096, frame.length - i * 4096);
            java.lang.foreign.MemorySegment.copy(
                    frame, i * 4096, guest.page(i), java.lang.foreign.ValueLayout.JAVA_BYTE, 0, bytes);
            int more = (i + 1) * 4096 < frame.length ? Netif.TX_MORE_DATA : 0;
            guest.put(
                    new Slot(i, 0, i == 0 ? more | BLANK | Netif.TX_EXTRA_INFO : more, i == 0 ? frame.length : bytes));
            if (i == 0) {
                guest.putExtra(Netif.EXTRA_GSO, 0, segmentBytes & 0xFF, segmentBytes >>> 8, gsoType);
            }
        }
        guest.publishTx();
        return guest.statuses(first);
    }

    /** RFC 3168 6.1.2: of the segments only the first may say that the window was reduced. */
    @Test
    void aLargeFrameWithACongestionMarkIsToldOf() throws Exception {
        byte[] frame = PlainFrames.frame(4, PlainFrames.TCP, 0, 30_000);
        frame[PlainFrames.l4(frame) + 13] |= (byte) 0x80; // CWR
        assertThat(sendLarge(frame, Netif.GSO_TCPV4, 1448)).startsWith(0);
        assertThat(guest.link().sent().getLast()[1]).isEqualTo((byte) (1 | 0x80));
    }

    /** A bridge's firewall drops what has a wrong one. */
    @Test
    void ofALargeFrameTheIpHeadersChecksumIsMadeRight() throws Exception {
        byte[] right = PlainFrames.frame(4, PlainFrames.TCP, 0, 30_000);
        assertThat(sendLarge(withBlankIpv4Header(right), Netif.GSO_TCPV4, 1448)).startsWith(0);
        assertSameIpv4Header(guest.link().sent().getLast(), right);
    }

    /** virtio_net_hdr has another meaning for 65535, and each IP version a segmentation of its own. */
    @ParameterizedTest
    @CsvSource({"4, 1, 65535", "4, 2, 1448", "6, 1, 1448"})
    void aLargeFrameThatCannotBeDescribedCostsItself(int version, int gsoType, int segmentBytes) throws Exception {
        byte[] frame = PlainFrames.frame(version, PlainFrames.TCP, 0, 30_000);
        assertThat(sendLarge(frame, gsoType, segmentBytes)).startsWith(-1).endsWith(-1);
        assertThat(guest.link().sent()).isEmpty();
        assertThat(guest.counters().violations(NetRule.GSO_MISMATCH)).isOne();
    }

    /** XSA-423: a header that is spread over slots lies in one piece when it is looked at. */
    @ParameterizedTest
    @ValueSource(ints = {14, 15, 20, 33, 34, 35, 53, 54, 55})
    void headersMayBeSpreadOverSlots(int cut) throws Exception {
        byte[] frame = PlainFrames.frame(4, PlainFrames.TCP, 0, 60);
        java.lang.foreign.MemorySegment.copy(frame, 0, guest.page(0), java.lang.foreign.ValueLayout.JAVA_BYTE, 0, cut);
        java.lang.foreign.MemorySegment.copy(
                frame, cut, guest.page(1), java.lang.foreign.ValueLayout.JAVA_BYTE, 7, frame.length - cut);
        assertThat(guest.send(
                        new Slot(0, 0, BLANK | Netif.TX_MORE_DATA, frame.length),
                        new Slot(1, 7, 0, frame.length - cut)))
                .containsExactly(0, 0);
        byte[] expected = frame.clone();
        PlainFrames.partial(expected, 0, 0);
        assertThat(PlainFrames.behind(guest.link().sent().getLast())).isEqualTo(expected);
    }

    @Test
    void aFrameThatTheLinkRefusesIsCountedAndAnswered() throws Exception {
        guest.link().refuses = true;
        assertThat(guest.sendFrame(new byte[60], 0, 4096)).containsExactly(0);
        assertThat(guest.counters().drops(NetDrop.LINK_REFUSED)).isOne();
        assertThat(guest.counters().txPackets()).isZero();
    }

    @Test
    void manyPacketsOfAllSizesInOneSweepAreToldApart() throws Exception {
        int first = guest.txProd();
        for (int i = 0; i < 250; i++) {
            guest.page(i).fill((byte) i);
            guest.put(new Slot(i, i, 0, 60 + i * 13));
        }
        guest.publishTx();
        assertThat(guest.statuses(first)).containsOnly(0);
        List<byte[]> sent = guest.link().sent();
        assertThat(sent).hasSize(250);
        for (int i = 0; i < 250; i++) {
            assertThat(PlainFrames.behind(sent.get(i))).hasSize(60 + i * 13).containsOnly((byte) i);
        }
        assertThat(guest.counters().txBytes())
                .isEqualTo(sent.stream().mapToLong(frame -> frame.length - 10).sum());
        assertThat(guest.counters().queues()).hasSize(1);
        assertThat(guest.counters().queues().getFirst().txPackets()).isEqualTo(250);
    }
}
