package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import xenback.net.HostileNetGuest.Received;
import xenback.net.HostileNetGuest.Slot;
import xenback.net.backend.NetOptions;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetControl.Answer;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.bus.XenbusState;
import xenback.xen.embedded.Domain;

/** Every message of the control ring, good and bad (netif.h), and what it brings about. */
class ControlRingTest {
    private static final int SUCCESS = NetControl.STATUS_SUCCESS;
    private static final int INVALID = NetControl.STATUS_INVALID_PARAMETER;
    private static final int OVERFLOW = NetControl.STATUS_BUFFER_OVERFLOW;
    private static final int NOT_SUPPORTED = NetControl.STATUS_NOT_SUPPORTED;

    /** The key with which Microsoft verifies implementations of RSS. */
    private static final byte[] KEY =
            HexFormat.of().parseHex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa");

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private NetMachine machine;
    private Domain domain;
    private HostileNetGuest guest;

    @BeforeEach
    void start() throws Exception {
        machine = new NetMachine(dir, NetOptions.usual());
        domain = machine.guest(1);
        guest = new HostileNetGuest(machine, domain).connect();
    }

    @AfterEach
    void close() {
        guest.close();
        machine.close();
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    private int status(int type, int a, int b, int c) throws Exception {
        return guest.ask(type, a, b, c).status();
    }

    private void setToeplitz() throws Exception {
        MemorySegment.copy(KEY, 0, guest.page(0), ValueLayout.JAVA_BYTE, 0, KEY.length);
        assertThat(status(NetControl.SET_HASH_ALGORITHM, NetControl.ALGORITHM_TOEPLITZ, 0, 0))
                .isEqualTo(SUCCESS);
        assertThat(status(NetControl.SET_HASH_KEY, guest.gref(0), KEY.length, 0))
                .isEqualTo(SUCCESS);
        assertThat(status(NetControl.SET_HASH_FLAGS, 15, 0, 0)).isEqualTo(SUCCESS);
    }

    @Test
    void hashFlagsNeedAnAlgorithm() throws Exception {
        assertThat(status(NetControl.GET_HASH_FLAGS, 0, 0, 0)).isEqualTo(NOT_SUPPORTED);
        assertThat(status(NetControl.SET_HASH_FLAGS, 1, 0, 0)).isEqualTo(INVALID);
        assertThat(status(NetControl.SET_HASH_ALGORITHM, 2, 0, 0)).isEqualTo(INVALID);
        assertThat(status(NetControl.SET_HASH_ALGORITHM, 1, 0, 0)).isEqualTo(SUCCESS);
        assertThat(guest.ask(NetControl.GET_HASH_FLAGS, 0, 0, 0)).isEqualTo(Answer.of(15));
        assertThat(status(NetControl.SET_HASH_FLAGS, 16, 0, 0)).isEqualTo(INVALID);
        assertThat(status(NetControl.SET_HASH_FLAGS, 15, 0, 0)).isEqualTo(SUCCESS);
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "40, 0", "41, 3", "-1, 3"})
    void keysHaveUpToFortyBytes(int length, int expected) throws Exception {
        assertThat(status(NetControl.SET_HASH_KEY, guest.gref(0), length, 0)).isEqualTo(expected);
    }

    @Test
    void aKeyOnARefusedPageIsInvalid() throws Exception {
        assertThat(status(NetControl.SET_HASH_KEY, 12_345, 40, 0)).isEqualTo(INVALID);
    }

    @Test
    void theMappingHasUpTo128Entries() throws Exception {
        assertThat(guest.ask(NetControl.GET_HASH_MAPPING_SIZE, 0, 0, 0)).isEqualTo(Answer.of(128));
        assertThat(status(NetControl.SET_HASH_MAPPING_SIZE, 129, 0, 0)).isEqualTo(INVALID);
        assertThat(status(NetControl.SET_HASH_MAPPING_SIZE, -1, 0, 0)).isEqualTo(INVALID);
        assertThat(status(NetControl.SET_HASH_MAPPING_SIZE, 128, 0, 0)).isEqualTo(SUCCESS);
    }

    /** XSA-270: a sum that wraps around. */
    @ParameterizedTest
    @CsvSource({
        "128, 0, 0",
        "0, 128, 0",
        "1, 127, 0",
        "129, 0, 2",
        "1, 128, 2",
        "2, -1, 2",
        "-1, 1, 2",
        "-1, -1, 2",
        "1024, -1024, 2",
        "0x7FFFFFFF, 0x7FFFFFFF, 2"
    })
    void aMappingStaysInItsTable(String count, String first, int expected) throws Exception {
        status(NetControl.SET_HASH_MAPPING_SIZE, 128, 0, 0);
        assertThat(status(NetControl.SET_HASH_MAPPING, guest.gref(0), Integer.decode(count), Integer.decode(first)))
                .isEqualTo(expected);
    }

    @Test
    void aMappingNamesQueuesThatThereAre() throws Exception {
        status(NetControl.SET_HASH_MAPPING_SIZE, 4, 0, 0);
        guest.page(0).set(ValueLayout.JAVA_INT, 8, 1);
        assertThat(status(NetControl.SET_HASH_MAPPING, guest.gref(0), 4, 0)).isEqualTo(INVALID);
        guest.page(0).set(ValueLayout.JAVA_INT, 8, -1);
        assertThat(status(NetControl.SET_HASH_MAPPING, guest.gref(0), 4, 0)).isEqualTo(INVALID);
        guest.page(0).set(ValueLayout.JAVA_INT, 8, 0);
        assertThat(status(NetControl.SET_HASH_MAPPING, guest.gref(0), 4, 0)).isEqualTo(SUCCESS);
    }

    /** The addresses and ports with which Microsoft verifies RSS, and the results it names. */
    @ParameterizedTest
    @CsvSource({"15, 1, 0x51ccc178", "1, 0, 0x323e8fc2"})
    void framesCarryTheToeplitzHash(int types, int typeBit, String hash) throws Exception {
        setToeplitz();
        status(NetControl.SET_HASH_FLAGS, types, 0, 0);
        guest.post(8);
        byte[] frame = PlainFrames.frame(4, PlainFrames.TCP, 0, 100);
        byte[] addresses = {66, 9, (byte) 149, (byte) 187, (byte) 161, (byte) 142, 100, 80};
        System.arraycopy(addresses, 0, frame, 26, 8);
        frame[34] = 2794 >>> 8;
        frame[35] = (byte) 2794;
        frame[36] = 1766 >>> 8;
        frame[37] = (byte) 1766;

        guest.link().put(PlainFrames.finished(frame, 0));

        List<Received> answers = guest.receive(2);
        assertThat(answers.getFirst().flags()).isEqualTo(Netif.RX_EXTRA_INFO);
        MemorySegment extra = guest.answer(0);
        assertThat(NetSlots.extraType(extra)).isEqualTo(Netif.EXTRA_HASH);
        assertThat(NetSlots.hashType(extra)).isEqualTo(typeBit);
        assertThat(NetSlots.hash(extra)).isEqualTo(Long.decode(hash).intValue());
    }

    @Test
    void frameswithoutAddressesCarryNoHash() throws Exception {
        setToeplitz();
        guest.post(8);
        guest.link().put(PlainFrames.finished(new byte[60], 0));
        assertThat(guest.receive(1).getFirst().flags()).isZero();
    }

    @Test
    void unknownMessagesAreNotSupported() throws Exception {
        for (int type : new int[] {0, 11, 12, 0xFFFF}) {
            assertThat(status(type, -1, -1, -1)).isEqualTo(NOT_SUPPORTED);
        }
    }

    private void putList(int page, int... grefs) {
        for (int i = 0; i < grefs.length; i++) {
            NetControl.putGrant(guest.page(page), i, grefs[i], false);
        }
    }

    @Test
    void pagesStayMappedAndAreUsed() throws Exception {
        int room = guest.ask(NetControl.GET_GREF_MAPPING_SIZE, 0, 0, 0).data();
        assertThat(room).isEqualTo(1536);
        int before = domain.pinnedGrants();
        putList(5, guest.gref(0), guest.gref(1), guest.gref(300), guest.gref(301));
        assertThat(guest.ask(NetControl.ADD_GREF_MAPPING, 0, guest.gref(5), 4)).isEqualTo(Answer.SUCCESS);
        assertThat(domain.pinnedGrants()).isEqualTo(before + 4);

        byte[] frame = new byte[6000];
        new Random(1).nextBytes(frame);
        frame[0] = 0;
        assertThat(guest.sendFrame(frame, 0, 4096)).containsExactly(0, 0);
        assertThat(PlainFrames.behind(guest.link().sent().getLast())).isEqualTo(frame);
        guest.post(8);
        guest.link().put(PlainFrames.finished(frame, 0));
        assertThat(guest.receive(2)).extracting(Received::status).containsExactly(4096, 6000 - 4096);
        assertThat(guest.page(301).get(ValueLayout.JAVA_BYTE, 6000 - 4097)).isEqualTo(frame[5999]);

        assertThat(guest.ask(NetControl.DEL_GREF_MAPPING, 0, guest.gref(5), 4)).isEqualTo(Answer.of(4));
        assertThat(domain.pinnedGrants()).isEqualTo(before);
        assertThat(guest.works()).isTrue();
    }

    @Test
    void mappingIsAllOrNothing() throws Exception {
        int before = domain.pinnedGrants();
        putList(5, guest.gref(0), guest.gref(1), 12_345);
        assertThat(status(NetControl.ADD_GREF_MAPPING, 0, guest.gref(5), 3)).isEqualTo(INVALID);
        putList(5, guest.gref(0), guest.gref(0));
        assertThat(status(NetControl.ADD_GREF_MAPPING, 0, guest.gref(5), 2)).isEqualTo(INVALID);
        assertThat(status(NetControl.ADD_GREF_MAPPING, 0, guest.gref(5), 513)).isEqualTo(OVERFLOW);
        assertThat(status(NetControl.ADD_GREF_MAPPING, 0, 12_345, 2)).isEqualTo(INVALID);
        assertThat(status(NetControl.ADD_GREF_MAPPING, 1, guest.gref(5), 1)).isEqualTo(INVALID);
        assertThat(status(NetControl.GET_GREF_MAPPING_SIZE, -1, 0, 0)).isEqualTo(INVALID);
        assertThat(domain.pinnedGrants()).isEqualTo(before);
    }

    @Test
    void unmappingTellsWhatBecameOfEach() throws Exception {
        putList(5, guest.gref(0), guest.gref(1));
        guest.ask(NetControl.ADD_GREF_MAPPING, 0, guest.gref(5), 2);
        putList(5, guest.gref(1), guest.gref(7), guest.gref(0));
        assertThat(guest.ask(NetControl.DEL_GREF_MAPPING, 0, guest.gref(5), 3)).isEqualTo(Answer.of(2));
        assertThat(NetControl.status(guest.page(5), 0)).isEqualTo(SUCCESS);
        assertThat(NetControl.status(guest.page(5), 1)).isEqualTo(INVALID);
        assertThat(NetControl.status(guest.page(5), 2)).isEqualTo(SUCCESS);
    }

    @Test
    void aReadOnlyPageIsMappedForSendingAndCopiedForNothingElse() throws Exception {
        guest.grant(0, 0, true);
        putList(5, guest.gref(0));
        assertThat(status(NetControl.ADD_GREF_MAPPING, 0, guest.gref(5), 1)).isEqualTo(INVALID);
        NetControl.putGrant(guest.page(5), 0, guest.gref(0), true);
        assertThat(status(NetControl.ADD_GREF_MAPPING, 0, guest.gref(5), 1)).isEqualTo(SUCCESS);
        assertThat(guest.send(new Slot(0, 0, 0, 100))).containsExactly(0);
        NetSlots.putRxRequest(guest.rxSlot(0), 0, guest.gref(0));
        guest.claimRx(1);
        guest.link().put(PlainFrames.finished(new byte[60], 0));
        assertThat(guest.receive(1).getFirst().status()).isNegative();
    }

    /** Random messages, most of them nonsense, cost nothing but answers; all that was mapped is given back. */
    @Test
    void randomMessagesDoNoHarm() throws Exception {
        long seed = Long.getLong("xenback.seed", System.nanoTime());
        System.out.println("repeat with ./dev test ControlRingTest -Dxenback.seed=" + seed);
        Random random = new Random(seed);
        for (int page = 0; page < 8; page++) {
            for (int i = 0; i < 512; i++) {
                int gref = random.nextInt(4) == 0 ? random.nextInt() : guest.gref(random.nextInt(600));
                NetControl.putGrant(guest.page(page), i, gref, random.nextBoolean());
            }
        }
        int[] numbers = {0, 1, 2, 40, 41, 128, 512, 513, -1, Integer.MIN_VALUE, Integer.MAX_VALUE};
        for (int i = 0; i < 2000; i++) {
            int a = random.nextBoolean() ? guest.gref(random.nextInt(8)) : numbers[random.nextInt(numbers.length)];
            int b = random.nextBoolean() ? guest.gref(random.nextInt(8)) : numbers[random.nextInt(numbers.length)];
            guest.ask(random.nextInt(12), random.nextBoolean() ? 0 : a, b, numbers[random.nextInt(numbers.length)]);
        }
        assertThat(guest.works()).isTrue();
        guest.reset();
        assertThat(domain.pinnedGrants()).isZero();
    }

    @Test
    void aBrokenControlRingCostsTheInterface() throws Exception {
        guest.claimControl(129);
        guest.awaitBackend(XenbusState.CLOSING);
        guest.takeBack();
        guest.reset();
        guest.connect();
        assertThat(guest.works()).isTrue();
    }

    @Test
    void theDumpTellsHashKeyMappingAndStagedPages() throws Exception {
        assertThat(machine.backend().control("xnb1i0"))
                .isEqualTo("control ring connected\nhash algorithm none\nhash flags none\nhash key none\n"
                        + "hash mapping none\nqueue 0 staged 0 of 1536");
        MemorySegment.copy(KEY, 0, guest.page(0), ValueLayout.JAVA_BYTE, 0, KEY.length);
        guest.ask(NetControl.SET_HASH_ALGORITHM, NetControl.ALGORITHM_TOEPLITZ, 0, 0);
        guest.ask(NetControl.SET_HASH_FLAGS, 9, 0, 0);
        guest.ask(NetControl.SET_HASH_KEY, guest.gref(0), KEY.length, 0);
        guest.ask(NetControl.SET_HASH_MAPPING_SIZE, 3, 0, 0);
        NetControl.putGrant(guest.page(1), 0, guest.gref(5), false);
        NetControl.putGrant(guest.page(1), 1, guest.gref(6), false);
        assertThat(guest.ask(NetControl.ADD_GREF_MAPPING, 0, guest.gref(1), 2)).isEqualTo(Answer.SUCCESS);

        assertThat(machine.backend().control("xnb1i0").lines())
                .containsExactly(
                        "control ring connected",
                        "hash algorithm toeplitz",
                        "hash flags ipv4 ipv6_tcp",
                        "hash key " + HexFormat.of().formatHex(KEY),
                        "hash mapping 0 0 0",
                        "queue 0 staged 2 of 1536");
    }

    @Test
    void nothingIsDumpedOfAnInterfaceThatIsNotConnected() throws Exception {
        guest.reset();
        assertThat(machine.backend().control("xnb1i0")).isEmpty();
        assertThat(machine.backend().control("xnb7i0")).isEmpty();
        guest.connect();
    }
}
