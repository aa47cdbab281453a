package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import xenback.net.HostileNetGuest.Slot;
import xenback.net.backend.NetOptions;
import xenback.net.protocol.NetRule;
import xenback.net.protocol.Netif;
import xenback.xen.bus.XenbusState;

/** What a bad packet costs: itself, or the interface until it connects anew; as with Linux' xen-netback, case by case. */
class SlotRulesTest {
    private static final int MORE = Netif.TX_MORE_DATA;
    private static final int EXTRA = Netif.TX_EXTRA_INFO;
    private static final int ERROR = Netif.STATUS_ERROR;

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private NetMachine machine;
    private HostileNetGuest guest;
    private HostileNetGuest other;

    @BeforeEach
    void start() throws Exception {
        machine = new NetMachine(dir, NetOptions.usual());
        guest = new HostileNetGuest(machine, machine.guest(1)).connect();
        other = new HostileNetGuest(machine, machine.guest(2)).connect();
    }

    @AfterEach
    void othersGoOn() throws Exception {
        assertThat(other.works()).isTrue();
        guest.close();
        other.close();
        machine.close();
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    /** The packet is lost, and all is as it was. */
    private void costsItself(NetRule rule) throws Exception {
        assertThat(guest.counters().violations(rule)).isOne();
        assertThat(guest.link().sent()).isEmpty();
        assertThat(guest.backendState()).isEqualTo(XenbusState.CONNECTED);
        assertThat(guest.works()).isTrue();
    }

    /** Nothing of it goes out; the guest can have its pages back, and connect anew. */
    private void costsTheInterface(NetRule rule) throws Exception {
        guest.awaitBackend(XenbusState.CLOSING);
        Await.until(() -> guest.error().contains(rule.name()), guest::error);
        assertThat(guest.counters().violations(rule)).isOne();
        assertThat(guest.link().sent()).isEmpty();
        guest.takeBack();
        guest.reset();
        guest.connect();
        assertThat(guest.works()).isTrue();
    }

    private static Slot[] chain(int slots, int total, int flags) {
        Slot[] chain = new Slot[slots];
        int each = 64;
        for (int i = 0; i < slots; i++) {
            int more = i + 1 < slots ? MORE : 0;
            chain[i] = new Slot(i, 0, more | (i == 0 ? flags : 0), i == 0 ? total : each);
        }
        return chain;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 17, 18, 19})
    void takesUpToNineteenSlots(int slots) throws Exception {
        byte[] frame = new byte[slots * 100];
        new Random(slots).nextBytes(frame);

        List<Integer> statuses = guest.sendFrame(frame, 0, 100);

        assertThat(statuses).containsOnly(0).hasSize(slots);
        assertThat(guest.link().sent()).hasSize(1);
        byte[] sent = guest.link().sent().getFirst();
        assertThat(Arrays.copyOfRange(sent, 10, sent.length)).isEqualTo(frame);
    }

    @ParameterizedTest
    @ValueSource(ints = {20, 21})
    void answersTwentyAndTwentyOneSlotsWithErrors(int slots) throws Exception {
        assertThat(guest.send(chain(slots, 64 * slots, 0))).containsOnly(ERROR).hasSize(slots);
        costsItself(NetRule.TOO_MANY_SLOTS);
    }

    @Test
    void twentyTwoSlotsCostTheInterface() throws Exception {
        for (Slot slot : chain(22, 64 * 22, 0)) {
            guest.put(slot);
        }
        guest.publishTx();
        costsTheInterface(NetRule.FAR_TOO_MANY_SLOTS);
    }

    @Test
    void aChainWithoutEndCostsTheInterface() throws Exception {
        guest.put(new Slot(0, 0, MORE, 200));
        guest.put(new Slot(1, 0, MORE, 100));
        guest.publishTx();
        costsTheInterface(NetRule.UNFINISHED_PACKET);
    }

    @Test
    void anExtraThatIsNotThereCostsTheInterface() throws Exception {
        guest.put(new Slot(0, 0, EXTRA, 200));
        guest.publishTx();
        costsTheInterface(NetRule.MISSING_EXTRA);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 6, 7, 255})
    void anExtraOfNoTypeCostsTheInterface(int type) throws Exception {
        guest.put(new Slot(0, 0, EXTRA, 200));
        guest.putExtra(type, 0);
        guest.publishTx();
        costsTheInterface(NetRule.UNKNOWN_EXTRA);
    }

    @Test
    void extrasWithoutEndCostTheInterface() throws Exception {
        guest.put(new Slot(0, 0, EXTRA, 200));
        for (int i = 1; i < 256; i++) {
            guest.putExtra(Netif.EXTRA_HASH, Netif.EXTRA_MORE);
        }
        guest.publishTx();
        costsTheInterface(NetRule.MISSING_EXTRA);
    }

    @Test
    void slotsThatAreMoreThanThePacketCostThePacket() throws Exception {
        assertThat(guest.send(new Slot(0, 0, MORE, 100), new Slot(1, 0, MORE, 60), new Slot(2, 0, 0, 60)))
                .containsExactly(ERROR, ERROR, ERROR);
        costsItself(NetRule.SIZES_EXCEED_PACKET);
    }

    @Test
    void aLaterSlotBeyondItsPageCostsTheInterface() throws Exception {
        guest.put(new Slot(0, 0, MORE, 3000));
        guest.put(new Slot(1, 4000, 0, 97));
        guest.publishTx();
        costsTheInterface(NetRule.SLOT_BEYOND_PAGE);
    }

    @Test
    void aFirstSlotBeyondItsPageCostsTheInterface() throws Exception {
        guest.put(new Slot(0, 4000, MORE, 200));
        guest.put(new Slot(1, 0, 0, 100));
        guest.publishTx();
        costsTheInterface(NetRule.SLOT_BEYOND_PAGE);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 13})
    void aFirstSlotWithoutAnEthernetHeaderCostsThePacket(int bytes) throws Exception {
        assertThat(guest.send(new Slot(0, 0, MORE, bytes + 60), new Slot(1, 0, 0, 60)))
                .containsExactly(ERROR, ERROR);
        costsItself(NetRule.RUNT);
    }

    @Test
    void aRuntAtThePagesEndCostsThePacketAlone() throws Exception {
        assertThat(guest.send(new Slot(0, 4090, 0, 10))).containsExactly(ERROR);
        costsItself(NetRule.RUNT);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 3, 255})
    void segmentationOfNoTypeCostsTheInterface(int type) throws Exception {
        guest.put(new Slot(0, 0, EXTRA | Netif.TX_CSUM_BLANK, 200));
        guest.putExtra(Netif.EXTRA_GSO, 0, 0, 5, type);
        guest.publishTx();
        costsTheInterface(NetRule.BAD_GSO);
    }

    @Test
    void segmentsOfNoSizeCostTheInterface() throws Exception {
        guest.put(new Slot(0, 0, EXTRA | Netif.TX_CSUM_BLANK, 200));
        guest.putExtra(Netif.EXTRA_GSO, 0, 0, 0, Netif.GSO_TCPV4);
        guest.publishTx();
        costsTheInterface(NetRule.BAD_GSO);
    }

    /** CVE-2019-11478: one packet would become tens of thousands. */
    @Test
    void tinySegmentsCostThePacket() throws Exception {
        int first = guest.txProd();
        guest.put(new Slot(0, 0, EXTRA | Netif.TX_CSUM_BLANK, 200));
        guest.putExtra(Netif.EXTRA_GSO, 0, 47, 0, Netif.GSO_TCPV4);
        guest.publishTx();
        assertThat(guest.statuses(first)).containsExactly(ERROR, (int) Netif.STATUS_NULL);
        costsItself(NetRule.TINY_SEGMENTS);
    }

    @ParameterizedTest
    @ValueSource(ints = {1448, 0xFFFF})
    void segmentationOfWhatIsNoTcpCostsThePacket(int size) throws Exception {
        int first = guest.txProd();
        guest.put(new Slot(0, 0, EXTRA | Netif.TX_CSUM_BLANK, 200));
        guest.putExtra(Netif.EXTRA_GSO, 0, size & 0xFF, size >>> 8, Netif.GSO_TCPV4);
        guest.publishTx();
        assertThat(guest.statuses(first)).containsExactly(ERROR, (int) Netif.STATUS_NULL);
        costsItself(NetRule.GSO_MISMATCH);
    }

    /** CVE-2023-46838. */
    @Test
    void emptySlotsInTheMiddleAndAtTheEndAreSkipped() throws Exception {
        List<Integer> statuses = guest.send(
                new Slot(0, 0, MORE, 120),
                new Slot(1, 0, MORE, 0),
                new Slot(2, 4096, MORE, 0),
                new Slot(3, 0, MORE, 60),
                new Slot(4, 0, 0, 0));
        assertThat(statuses).containsExactly(0, 0, 0, 0, 0);
        assertThat(guest.link().sent()).hasSize(1);
        assertThat(guest.link().sent().getFirst()).hasSize(10 + 120);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void aRefusedPageIsAnErrorOfItsOwnSlotAndCostsThePacket(int bad) throws Exception {
        int first = guest.txProd();
        Slot[] slots = {new Slot(0, 0, MORE, 300), new Slot(1, 0, MORE, 100), new Slot(2, 0, 0, 100)};
        for (int i = 0; i < slots.length; i++) {
            guest.put(i == bad ? 12_345 : guest.gref(i), slots[i]);
        }
        guest.publishTx();
        List<Integer> expected = new ArrayList<>(Collections.nCopies(3, 0));
        expected.set(bad, ERROR);
        assertThat(guest.statuses(first)).isEqualTo(expected);
        costsItself(NetRule.BAD_GRANT);
    }

    @Test
    void anEmptySlotBesideARefusedPageIsNoError() throws Exception {
        int first = guest.txProd();
        guest.put(new Slot(0, 0, MORE, 300));
        guest.put(new Slot(1, 0, MORE, 0));
        guest.put(12_345, new Slot(2, 0, MORE, 100));
        guest.put(new Slot(3, 0, 0, 100));
        guest.publishTx();
        assertThat(guest.statuses(first)).containsExactly(0, 0, ERROR, 0);
        costsItself(NetRule.BAD_GRANT);
    }

    @Test
    void extrasAreAnsweredWithNullAndSeveralArePossible() throws Exception {
        int first = guest.txProd();
        guest.put(new Slot(0, 0, EXTRA | MORE, 200));
        guest.putExtra(Netif.EXTRA_HASH, Netif.EXTRA_MORE, 1, 1, 1, 2, 3, 4);
        guest.putExtra(Netif.EXTRA_XDP, 0);
        guest.put(new Slot(1, 0, 0, 100));
        guest.publishTx();
        assertThat(guest.statuses(first)).containsExactly(0, (int) Netif.STATUS_NULL, (int) Netif.STATUS_NULL, 0);
        assertThat(guest.link().sent()).hasSize(1);
    }

    /** XSA-216: every byte of a response is written. */
    @Test
    void responsesHaveNothingElseInThem() throws Exception {
        int first = guest.txProd();
        guest.sendFrame(new byte[100], 0, 4096);
        assertThat(guest.txSlot(first).asSlice(4, 8).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE))
                .containsOnly(0);
    }
}
