package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import xenback.net.HostileNetGuest.Received;
import xenback.net.backend.NetDrop;
import xenback.net.backend.NetOptions;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.io.Tap;

/** How frames come to a guest: slots, flags, extra infos, checksums. */
class ReceiveTest {
    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private NetMachine machine;
    private HostileNetGuest guest;

    @BeforeEach
    void start() throws Exception {
        machine = new NetMachine(dir, NetOptions.usual());
        guest = new HostileNetGuest(machine, machine.guest(1));
    }

    @AfterEach
    void close() {
        guest.close();
        machine.close();
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    /** The frame in the buffers of answers that were just received; extra infos have none. */
    private byte[] frame(List<Received> answers, int extras) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (int i = 0; i < answers.size(); i++) {
            if (i == 0 || i > extras) {
                Received answer = answers.get(i);
                MemorySegment page = guest.buffer(answers.size() - 1 - i);
                bytes.writeBytes(page.asSlice(answer.offset(), answer.status()).toArray(ValueLayout.JAVA_BYTE));
            }
        }
        return bytes.toByteArray();
    }

    @ParameterizedTest
    @CsvSource({"60, 1", "4096, 1", "4097, 2", "9014, 3", "65535, 16"})
    void fillsEachPageBeforeTheNext(int bytes, int slots) throws Exception {
        guest.connect().post(64);
        byte[] sent = new byte[bytes];
        new java.util.Random(bytes).nextBytes(sent);
        sent[0] = 0; // for one station

        guest.link().put(PlainFrames.finished(sent, 0));

        List<Received> answers = guest.receive(slots);
        assertThat(frame(answers, 0)).isEqualTo(sent);
        for (int i = 0; i < slots; i++) {
            assertThat(answers.get(i).id())
                    .as("answers keep the requests' places")
                    .isEqualTo(i);
            assertThat(answers.get(i).flags()).isEqualTo(i + 1 < slots ? Netif.RX_MORE_DATA : 0);
        }
        assertThat(guest.rxAnswered()).isEqualTo(slots);
    }

    /** netfront of GNU Mach and Windows' drivers take a blank checksum only from one that vouches for the data. */
    @ParameterizedTest
    @CsvSource({"4, 6", "4, 17", "6, 6", "6, 17"})
    void aBlankChecksumStaysBlankAndIsVouchedFor(int version, int protocol) throws Exception {
        guest.connect().post(8);
        byte[] sent = PlainFrames.frame(version, protocol, 0, 1001);

        guest.link().put(PlainFrames.partial(sent, 0, 0));

        List<Received> answers = guest.receive(1);
        assertThat(answers.getFirst().flags()).isEqualTo(Netif.RX_CSUM_BLANK | Netif.RX_DATA_VALIDATED);
        assertThat(frame(answers, 0)).isEqualTo(sent);
    }

    @ParameterizedTest
    @CsvSource({"feature-no-csum-offload, 1, 4", "feature-ipv6-csum-offload, 0, 6"})
    void fillsAChecksumInThatTheGuestCannot(String key, String value, int version) throws Exception {
        guest.with(key, value).connect().post(8);
        for (int protocol : new int[] {PlainFrames.TCP, PlainFrames.UDP}) {
            guest.link().put(PlainFrames.partial(PlainFrames.frame(version, protocol, 0, 999), 0, 0));

            List<Received> answers = guest.receive(1);
            assertThat(answers.getFirst().flags()).isEqualTo(Netif.RX_DATA_VALIDATED);
            assertThat(PlainFrames.isRight(frame(answers, 0))).isTrue();
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 4", "2, 4", "1, 6", "2, 6"})
    void fillsAChecksumInBehindVlanTags(int tags, int version) throws Exception {
        guest.connect().post(8);
        guest.link().put(PlainFrames.partial(PlainFrames.frame(version, PlainFrames.UDP, tags, 77), 0, 0));

        List<Received> answers = guest.receive(1);
        assertThat(answers.getFirst().flags()).isEqualTo(Netif.RX_DATA_VALIDATED);
        assertThat(PlainFrames.isRight(frame(answers, 0))).isTrue();
    }

    /** A tunnel's outer packet has its checksum; the inner one's is left to us, and no frontend would find it. */
    @Test
    void fillsAChecksumInWithinAnotherPacket() throws Exception {
        guest.connect().post(8);
        byte[] inner = PlainFrames.frame(4, PlainFrames.TCP, 0, 500);
        byte[] partial = PlainFrames.behind(PlainFrames.partial(inner, 0, 0));
        byte[] outer = PlainFrames.frame(4, PlainFrames.UDP, 0, 8 + partial.length);
        int innerAt = outer.length - partial.length;
        System.arraycopy(partial, 0, outer, innerAt, partial.length);
        byte[] withHeader = PlainFrames.partial(outer.clone(), 0, 0);
        System.arraycopy(outer, 0, withHeader, 10, outer.length);
        int start = innerAt + PlainFrames.l4(inner);
        withHeader[6] = (byte) start;
        withHeader[7] = (byte) (start >>> 8);
        withHeader[8] = 16;

        guest.link().put(withHeader);

        byte[] received = frame(guest.receive(1), 0);
        assertThat(PlainFrames.isRight(java.util.Arrays.copyOfRange(received, innerAt, received.length)))
                .isTrue();
        assertThat(java.util.Arrays.copyOf(received, innerAt)).isEqualTo(java.util.Arrays.copyOf(outer, innerAt));
    }

    @Test
    void vouchesForWhatTheLinkVouchesFor() throws Exception {
        guest.connect().post(8);
        guest.link().put(PlainFrames.finished(new byte[60], PlainFrames.DATA_VALID));
        assertThat(guest.receive(1).getFirst().flags()).isEqualTo(Netif.RX_DATA_VALIDATED);
    }

    @ParameterizedTest
    @CsvSource({"4, 1, 1", "6, 4, 2"})
    void aLargeFrameHasItsSegmentSizeBehindTheFirstSlot(int version, int vnetType, int gsoType) throws Exception {
        guest.connect().post(64);
        byte[] sent = PlainFrames.frame(version, PlainFrames.TCP, 0, 20_000);

        guest.link().put(PlainFrames.partial(sent, vnetType, 1400));

        List<Received> answers = guest.receive(6);
        assertThat(answers.getFirst().flags())
                .isEqualTo(Netif.RX_CSUM_BLANK | Netif.RX_DATA_VALIDATED | Netif.RX_MORE_DATA | Netif.RX_EXTRA_INFO);
        MemorySegment extra = guest.answer(4);
        assertThat(NetSlots.extraType(extra)).isEqualTo(Netif.EXTRA_GSO);
        assertThat(NetSlots.gsoSize(extra)).isEqualTo(1400);
        assertThat(NetSlots.gsoType(extra)).isEqualTo(gsoType);
        assertThat(NetSlots.extraMore(extra)).isFalse();
        assertThat(frame(answers, 1)).isEqualTo(sent);
        assertThat(guest.link().offload & (Tap.OFFLOAD_TSO4 | Tap.OFFLOAD_TSO6))
                .isEqualTo(Tap.OFFLOAD_TSO4 | Tap.OFFLOAD_TSO6);
    }

    @ParameterizedTest
    @CsvSource({"4, 1, feature-gso-tcpv4, 500", "6, 4, feature-gso-tcpv6, 1440", "4, 1, feature-sg, 100"})
    void cutsWhatTheGuestCannotTakeWhole(int version, int vnetType, String key, int mss) throws Exception {
        guest.with(key, "0").connect();
        byte[] sent = PlainFrames.frame(version, PlainFrames.TCP, 0, 60_000);
        int count = (60_000 + mss - 1) / mss;
        int headers = PlainFrames.l4(sent) + 20;

        guest.link().put(PlainFrames.partial(sent, vnetType, mss));

        int done = 0;
        guest.post(200);
        for (int i = 0; i < count; i++) {
            if (i > 0 && i % 100 == 0) {
                guest.post(100); // more than the ring holds: it goes on as buffers come
            }
            List<Received> answers = guest.receive(1);
            assertThat(answers.getFirst().flags()).isEqualTo(Netif.RX_DATA_VALIDATED);
            byte[] segment = frame(answers, 0);
            assertThat(PlainFrames.isRight(segment)).isTrue();
            int bytes = segment.length - headers;
            for (int at = 0; at < bytes; at++) {
                assertThat(segment[headers + at]).isEqualTo(sent[headers + done + at]);
            }
            done += bytes;
        }
        assertThat(done).isEqualTo(60_000);
    }

    @Test
    void aFrameLongerThanASlotIsDroppedForAGuestThatTakesNoMore() throws Exception {
        guest.with("feature-sg", "0").connect().post(8);
        guest.link().put(PlainFrames.finished(new byte[4097], 0), PlainFrames.finished(new byte[4096], 0));
        assertThat(guest.receive(1).getFirst().status()).isEqualTo(4096);
        assertThat(guest.counters().drops(NetDrop.BAD_LENGTH)).isOne();
    }

    @Test
    void waitsForBuffersAndGoesOnWithThem() throws Exception {
        guest.connect();
        for (int i = 0; i < 200; i++) {
            byte[] sent = new byte[60];
            sent[59] = (byte) i;
            guest.link().put(PlainFrames.finished(sent, 0));
        }
        for (int i = 0; i < 200; i++) {
            guest.post(1);
            assertThat(frame(guest.receive(1), 0)[59]).isEqualTo((byte) i);
        }
        assertThat(guest.counters().rxDropped()).isZero();
    }

    /** Old frontends send no event when they post. */
    @Test
    void looksForBuffersOfAGuestThatTellsOfNone() throws Exception {
        guest.with("feature-rx-notify", "0").connect();
        guest.post(1);
        for (int i = 0; i < 5; i++) {
            guest.link().put(PlainFrames.finished(new byte[60], 0));
            guest.receive(1);
            NetSlots.putRxRequest(guest.rxSlot(i + 1), i + 1, guest.gref(301 + i));
            guest.ring(1).set(ValueLayout.JAVA_INT, 0, i + 2); // without an event
        }
        assertThat(guest.rxAnswered()).isEqualTo(5);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aRefusedBufferIsAnErrorOfItsOwnSlot(boolean readOnly) throws Exception {
        guest.connect();
        if (readOnly) {
            guest.grant(301, 0, true);
        } else {
            guest.grant(301, 7, false);
        }
        guest.post(8);

        guest.link().put(PlainFrames.finished(new byte[9000], 0), PlainFrames.finished(new byte[60], 0));

        List<Received> answers = guest.receive(4);
        assertThat(answers.get(0).status()).isEqualTo(4096);
        assertThat(answers.get(1).status()).isNegative();
        assertThat(answers.get(1).flags()).isEqualTo(Netif.RX_MORE_DATA);
        assertThat(answers.get(2).status()).isEqualTo(9000 - 8192);
        assertThat(answers.get(3).status()).isEqualTo(60);
        assertThat(guest.counters().drops(NetDrop.BAD_GRANT)).isOne();
    }

    @Test
    void splitChannelsAreNotifiedEachOfItsOwn() throws Exception {
        guest.with("split", "1").connect();
        guest.post(4);
        guest.link().put(PlainFrames.finished(new byte[60], 0));
        guest.receive(1);
        assertThat(guest.works()).isTrue();
    }
}
