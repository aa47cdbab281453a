package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import xenback.net.HostileNetGuest.Received;
import xenback.net.HostileNetGuest.Slot;
import xenback.net.backend.NetDrop;
import xenback.net.backend.NetFeature;
import xenback.net.backend.NetOptions;
import xenback.net.protocol.NetRule;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.XenException;
import xenback.xen.bus.XenbusState;

/** What toolstack and frontend say of an interface in xenstore, before and while it is in use. */
class InterfaceSettingsTest {
    private static final byte[] GROUP = {0x33, 0x33, 0, 0, 0, 1};

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private NetMachine machine;
    private HostileNetGuest guest;

    private HostileNetGuest start(NetOptions options, String... backendNodes) throws Exception {
        machine = new NetMachine(dir, options);
        guest = machine.hostile(1, backendNodes);
        return guest;
    }

    @AfterEach
    void close() {
        machine.close();
        log.close();
        assertThat(log.faults()).allMatch(line -> line.contains("its store cannot be opened"));
    }

    private static byte[] to(byte... destination) {
        byte[] frame = new byte[60];
        System.arraycopy(destination, 0, frame, 0, 6);
        return PlainFrames.finished(frame, 0);
    }

    @ParameterizedTest
    @CsvSource({
        "mac, 01:00:5e:00:00:01",
        "mac, 00:00:00:00:00:00",
        "mac, 00:16:3e",
        "mtu, 67",
        "mtu, 65522",
        "mtu, 1e3",
        "antispoof, on",
        "offload, off",
        "rate, 10MB/s",
        "rate, '0,50000'"
    })
    void whatTheToolstackWritesWrongIsOneClearLine(String key, String value) {
        assertThatThrownBy(() -> start(NetOptions.usual(), key, value))
                .isInstanceOf(XenException.class)
                .hasMessageContaining("backend/vif/1/0: " + key)
                .hasMessageContaining(value)
                .hasMessageNotContaining("\n");
    }

    @Test
    void offersWhatTheOptionsSay() throws Exception {
        for (NetFeature feature : NetFeature.values()) {
            start(NetOptions.usual().without(feature).withQueues(3));
            for (NetFeature one : NetFeature.values()) {
                boolean offered = one != feature;
                assertThat(guest.readBackend(nodeOf(one)))
                        .as("%s without %s", one, feature)
                        .isEqualTo(offered == (one != NetFeature.CHECKSUM4) ? "1" : "0");
            }
            assertThat(guest.readBackend("multi-queue-max-queues")).isEqualTo("3");
            assertThat(guest.readBackend("feature-rx-copy")).isEqualTo("1");
            assertThat(guest.readBackend("feature-rx-flip")).isEqualTo("0");
            machine.close();
        }
    }

    private static String nodeOf(NetFeature feature) {
        return switch (feature) {
            case SCATTER_GATHER -> "feature-sg";
            case TSO4 -> "feature-gso-tcpv4";
            case TSO6 -> "feature-gso-tcpv6";
            case CHECKSUM4 -> "feature-no-csum-offload";
            case CHECKSUM6 -> "feature-ipv6-csum-offload";
            case SPLIT_CHANNELS -> "feature-split-event-channels";
            case MULTICAST_CONTROL -> "feature-multicast-control";
            case DYNAMIC_MULTICAST_CONTROL -> "feature-dynamic-multicast-control";
            case CONTROL_RING -> "feature-ctrl-ring";
            case XDP_HEADROOM -> "feature-xdp-headroom";
        };
    }

    @ParameterizedTest
    @CsvSource({
        "request-rx-copy, 0",
        "multi-queue-num-queues, 0", // CVE-2026-45890
        "multi-queue-num-queues, 3",
        "multi-queue-num-queues, 4294967297",
        "multi-queue-num-queues, -1",
        "feature-sg, 2",
        "event-channel-ctrl, x"
    })
    void refusesAFrontendThatMakesNoSense(String key, String value) throws Exception {
        start(NetOptions.usual().withQueues(2)).with(key, value);
        guest.awaitBackend(XenbusState.INIT_WAIT);
        guest.prepare();
        guest.publish();
        guest.state(XenbusState.INITIALISED);
        Await.until(() -> guest.error().contains(key), guest::error);
        assertThat(guest.backendState()).isNotEqualTo(XenbusState.CONNECTED);
    }

    @Test
    void refusesAFrontendThatWantsPagesFlipped() throws Exception {
        start(NetOptions.usual()).with("request-rx-copy", null);
        guest.awaitBackend(XenbusState.INIT_WAIT);
        guest.prepare();
        guest.publish();
        guest.state(XenbusState.CONNECTED);
        Await.until(() -> guest.error().contains("request-rx-copy"), guest::error);
    }

    /** GNU Mach's frontend names its rings, says 3, waits for our 2, and writes the rest with its 4 (xen/net.c). */
    @Test
    void waitsForAFrontendThatHasNotSaidAllAtInitialised() throws Exception {
        start(NetOptions.usual()).with("request-rx-copy", null);
        guest.prepare();
        guest.publish();
        guest.state(XenbusState.INITIALISED);
        guest.awaitBackend(XenbusState.INIT_WAIT);
        TimeUnit.MILLISECONDS.sleep(200);
        assertThat(guest.backendState()).isEqualTo(XenbusState.INIT_WAIT);
        assertThat(guest.error()).isEmpty();

        guest.with("request-rx-copy", "1").publish();
        guest.state(XenbusState.CONNECTED);
        guest.awaitBackend(XenbusState.CONNECTED);
        assertThat(guest.sendFrame(new byte[60], 0, 4096)).containsExactly(0);
    }

    @Test
    void multicastControlFiltersGroupsButNoBroadcast() throws Exception {
        start(NetOptions.usual())
                .with("request-multicast-control", "1")
                .connect()
                .post(8);
        byte[] broadcast = {-1, -1, -1, -1, -1, -1};

        guest.link().put(to(GROUP), to(broadcast));
        guest.receive(1);
        Await.until(() -> guest.counters().drops(NetDrop.FILTERED) == 1, () -> "a filtered frame");

        assertThat(group(Netif.EXTRA_MCAST_ADD)).containsExactly(0, (int) Netif.STATUS_NULL);
        guest.link().put(to(GROUP));
        guest.receive(1);
        assertThat(group(Netif.EXTRA_MCAST_DEL)).containsExactly(0, (int) Netif.STATUS_NULL);
        guest.link().put(to(GROUP));
        Await.until(() -> guest.counters().drops(NetDrop.FILTERED) == 2, () -> "a filtered frame");
        assertThat(guest.link().sent()).as("nothing of it goes out").isEmpty();
    }

    private List<Integer> group(int operation) throws Exception {
        int first = guest.txProd();
        guest.put(new Slot(0, 0, Netif.TX_EXTRA_INFO, 60));
        guest.putExtra(operation, 0, 0x33, 0x33, 0, 0, 0, 1);
        guest.publishTx();
        return guest.statuses(first);
    }

    @Test
    void theListOfGroupsIsBounded() throws Exception {
        start(NetOptions.usual()).connect();
        for (int i = 0; i < 64; i++) {
            assertThat(group(Netif.EXTRA_MCAST_ADD).getFirst()).isZero();
        }
        assertThat(group(Netif.EXTRA_MCAST_ADD).getFirst()).isEqualTo(Netif.STATUS_ERROR);
        assertThat(guest.counters().violations(NetRule.TOO_MANY_GROUPS)).isOne();
        assertThat(group(Netif.EXTRA_MCAST_DEL).getFirst()).isZero();
        assertThat(group(Netif.EXTRA_MCAST_ADD).getFirst()).isZero();
    }

    @Test
    void dynamicMulticastControlBeginsAndEndsAtAnyTime() throws Exception {
        start(NetOptions.usual()).connect().post(200);
        guest.link().put(to(GROUP));
        guest.receive(1);
        guest.write("request-multicast-control", "1");
        awaitFiltered(true);
        guest.write("request-multicast-control", "0");
        awaitFiltered(false);
        assertThat(guest.backendState()).isEqualTo(XenbusState.CONNECTED);
    }

    /** Sends frames to the group until they are filtered, or are not. */
    private void awaitFiltered(boolean filtered) throws Exception {
        Await.until(
                () -> {
                    int before = guest.rxAnswered();
                    long dropped = guest.counters().drops(NetDrop.FILTERED);
                    guest.link().put(to(GROUP));
                    Await.until(
                            () -> guest.rxAnswered() != before
                                    || guest.counters().drops(NetDrop.FILTERED) != dropped,
                            () -> "any fate of a frame");
                    guest.post(guest.rxAnswered() - before);
                    return guest.rxAnswered() == before == filtered;
                },
                () -> "frames for the group filtered: " + filtered);
    }

    @Test
    void staticMulticastControlIsSampledOnce() throws Exception {
        start(NetOptions.usual().without(NetFeature.DYNAMIC_MULTICAST_CONTROL))
                .with("request-multicast-control", "1")
                .connect()
                .post(8);
        guest.write("request-multicast-control", "0");
        guest.link().put(to(GROUP));
        Await.until(() -> guest.counters().drops(NetDrop.FILTERED) == 1, () -> "a filtered frame");
    }

    @Test
    void theUnicastFilterKeepsOtherStationsFramesAway() throws Exception {
        start(NetOptions.usual().withUnicastFilter(true)).connect().post(8);
        guest.link().put(to((byte) 0, (byte) 0x16, (byte) 0x3E, (byte) 0, (byte) 0, (byte) 9));
        guest.link().put(to((byte) 0, (byte) 0x16, (byte) 0x3E, (byte) 0, (byte) 0, (byte) 1), to(GROUP));
        guest.receive(2);
        assertThat(guest.counters().drops(NetDrop.FILTERED)).isOne();
    }

    @Test
    void withoutTheFilterAGuestIsPromiscuous() throws Exception {
        start(NetOptions.usual()).connect().post(8);
        guest.link().put(to((byte) 0, (byte) 0x16, (byte) 0x3E, (byte) 0, (byte) 0, (byte) 9));
        guest.receive(1);
    }

    /** The room is in front of each slot, and counted when slots are. */
    @Test
    void leavesRoomForXdpPrograms() throws Exception {
        start(NetOptions.usual()).with("xdp-headroom", "256").connect().post(3);
        byte[] frame = new byte[3 * 3840];
        new java.util.Random(1).nextBytes(frame);
        frame[0] = 0;

        guest.link().put(PlainFrames.finished(frame, 0));
        guest.receive(0);
        guest.post(1); // three slots of data and the extra

        List<Received> answers = guest.receive(4);
        assertThat(answers.getFirst().flags()).isEqualTo(Netif.RX_MORE_DATA | Netif.RX_EXTRA_INFO);
        assertThat(NetSlots.extraType(guest.answer(2))).isEqualTo(Netif.EXTRA_XDP);
        assertThat(NetSlots.xdpHeadroom(guest.answer(2))).isEqualTo(256);
        int done = 0;
        for (int i : new int[] {0, 2, 3}) {
            assertThat(answers.get(i).offset()).isEqualTo(256);
            assertThat(answers.get(i).status()).isEqualTo(3840);
            assertThat(guest.buffer(3 - i).asSlice(256, 3840).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE))
                    .isEqualTo(java.util.Arrays.copyOfRange(frame, done, done + 3840));
            done += 3840;
        }
    }

    /** 4000 bytes fit into a page, and with the room in front of them they do not. */
    @Test
    void aFrameWaitsForTheBuffersThatItNeedsWithItsRoom() throws Exception {
        start(NetOptions.usual()).with("xdp-headroom", "256").connect().post(2);
        guest.link().put(PlainFrames.finished(new byte[4000], 0));
        assertThat(guest.works()).isTrue();
        assertThat(guest.rxAnswered()).isZero();
        guest.post(1);
        assertThat(guest.receive(3).getLast().status()).isEqualTo(4000 - 3840);
    }

    /** Linux' netfront changes it by state 7, and waits for 8. */
    @Test
    void theRoomChangesByReconfiguring() throws Exception {
        start(NetOptions.usual()).connect().post(8);
        for (int headroom : new int[] {256, 0, 64}) {
            guest.write("xdp-headroom", Integer.toString(headroom));
            guest.state(XenbusState.RECONFIGURING);
            guest.awaitBackend(XenbusState.RECONFIGURED);
            guest.state(XenbusState.CONNECTED);
            guest.link().put(PlainFrames.finished(new byte[60], 0));
            assertThat(guest.receive(headroom > 0 ? 2 : 1).getFirst().offset()).isEqualTo(headroom);
            guest.awaitBackend(XenbusState.CONNECTED);
        }
    }

    @ParameterizedTest
    @CsvSource({"2049", "-1", "65536", "x", "''"})
    void roomThatMakesNoSenseIsNotLeft(String headroom) throws Exception {
        start(NetOptions.usual()).with("xdp-headroom", headroom).connect().post(4);
        guest.link().put(PlainFrames.finished(new byte[60], 0));
        assertThat(guest.receive(1)).containsExactly(new Received(0, 0, 0, 60));
    }

    @Test
    void framesThatNobodyWantsExpire() throws Exception {
        start(NetOptions.usual().withTimeouts(Duration.ofMillis(10), Duration.ofSeconds(60)))
                .connect();
        guest.link().put(PlainFrames.finished(new byte[60], 0), PlainFrames.finished(new byte[61], 0));
        Await.until(() -> guest.counters().drops(NetDrop.NO_BUFFERS) == 2, () -> "expired frames");
        guest.post(4);
        guest.link().put(PlainFrames.finished(new byte[62], 0));
        assertThat(guest.receive(1).getFirst().status()).isEqualTo(62);
    }

    /** CVE-2021-28714: what waits is bounded, and the rest stays with the link. */
    @Test
    void onlySoManyFramesWait() throws Exception {
        start(NetOptions.usual()).connect();
        byte[][] frames = new byte[1000][];
        java.util.Arrays.fill(frames, PlainFrames.finished(new byte[60], 0));
        guest.link().put(frames);
        Await.until(
                () -> guest.link().unreceived() == 1000 - 64, () -> guest.link().unreceived() + " left");
        for (int i = 0; i < 1000; i += 250) {
            guest.post(250);
            guest.receive(250);
        }
    }

    @Test
    void aGuestWithoutBuffersHasNoCarrierUntilItHasSome() throws Exception {
        start(NetOptions.usual().withTimeouts(Duration.ofSeconds(60), Duration.ofMillis(1)))
                .connect();
        assertThat(guest.link().carriers).isEmpty();
        guest.post(1);
        Await.until(() -> guest.link().carriers.equals(List.of(true)), () -> "a carrier");
        guest.link().put(PlainFrames.finished(new byte[60], 0), PlainFrames.finished(new byte[61], 0));
        Await.until(() -> guest.link().carriers.equals(List.of(true, false)), () -> "no carrier");
        assertThat(guest.counters().stalls()).isOne();
        guest.post(2);
        guest.receive(3 - 1);
        Await.until(() -> guest.link().carriers.equals(List.of(true, false, true)), () -> "a carrier again");
        guest.reset();
        assertThat(guest.link().carriers).endsWith(false);
    }

    @Test
    void theRateHoldsFramesBackAndLosesNone() throws Exception {
        start(NetOptions.usual(), "rate", "40000,50000").connect(); // a burst of 200 kB
        int first = guest.txProd();
        for (int i = 0; i < 250; i++) {
            guest.put(new Slot(i, 0, 0, 4096));
        }
        guest.publishTx();
        assertThat(guest.statuses(first)).containsOnly(0).hasSize(250);
        assertThat(guest.link().sent()).hasSize(250);
        assertThat(guest.counters().throttled()).isPositive();
    }

    @Test
    void theRateToTheGuestHoldsFramesBackAndLosesNone() throws Exception {
        start(NetOptions.usual(), "rate-to-guest", "40000,50000").connect();
        byte[][] frames = new byte[240][];
        java.util.Arrays.fill(frames, PlainFrames.finished(new byte[4096], 0));
        guest.post(240);
        guest.link().put(frames);
        assertThat(guest.receive(240)).hasSize(240);
        assertThat(guest.counters().throttled()).isPositive();
    }

    /** Each buffer that the guest posts is a try. */
    @Test
    void aFrameThatWaitsForBuffersIsChargedOnce() throws Exception {
        start(NetOptions.usual(), "rate-to-guest", "1,10000000").connect(); // after 131072 bytes, nothing for days
        byte[] frame = PlainFrames.finished(new byte[60_000], 0);
        guest.link().put(frame, frame);
        for (int i = 1; i < 15; i++) {
            int posted = i;
            guest.post(1);
            Await.until(() -> guest.reqEvent(1) == posted + 1, () -> "a look at buffer " + posted);
        }
        guest.post(16);
        assertThat(guest.receive(30)).hasSize(30);
        assertThat(guest.counters().throttled()).isZero();
    }

    /** The way from the guest waits for days; each wait of the other way is one of its own, and not as long. */
    @Test
    void aRateOneWayHoldsNothingUpTheOther() throws Exception {
        start(NetOptions.usual(), "rate", "1,10000000", "rate-to-guest", "40000,50000")
                .connect();
        for (int i = 0; i < 40; i++) {
            guest.put(new Slot(i, 0, 0, 4096));
        }
        guest.publishTx();
        Await.until(() -> guest.counters().throttled() > 0, () -> "a rate that holds back");
        byte[][] frames = new byte[200][];
        java.util.Arrays.fill(frames, PlainFrames.finished(new byte[4096], 0));
        guest.post(200);
        guest.link().put(frames);
        assertThat(guest.receive(200)).hasSize(200);
        assertThat(guest.counters().throttled()).isGreaterThan(10);
    }

    @Test
    void theRateChangesWhileTheInterfaceIsInUse() throws Exception {
        start(NetOptions.usual(), "rate", "1,10000000").connect(); // after a burst, nothing for days
        int first = guest.txProd();
        for (int i = 0; i < 100; i++) {
            guest.put(new Slot(i, 0, 0, 4096));
        }
        guest.publishTx();
        Await.until(() -> guest.counters().throttled() > 0, () -> "a rate that holds back");
        guest.writeBackend("rate", "nonsense");
        guest.writeBackend("rate", "1000000,1000");
        assertThat(guest.statuses(first)).containsOnly(0).hasSize(100);
    }

    @Test
    void theGuestIsToldTheLinksMtu() throws Exception {
        start(NetOptions.usual(), "mtu", "9000").connect();
        assertThat(guest.link().mtu).isEqualTo(9000);
        assertThat(guest.read("mtu")).isEqualTo("9000");
        guest.link().mtu = 1400;
        Await.until(() -> guest.read("mtu").equals("1400"), () -> guest.read("mtu"));
    }

    @Test
    void aGuestWithoutScatterGatherIsKeptTo1500() throws Exception {
        start(NetOptions.usual(), "mtu", "9000").with("feature-sg", "0").connect();
        assertThat(guest.link().mtu).isEqualTo(1500);
        assertThat(guest.read("mtu")).isEqualTo("1500");
    }

    @Test
    void theGuestIsToldThatTheLinkIsSwitchedOff() throws Exception {
        start(NetOptions.usual()).connect();
        assertThat(guest.readBackend("carrier")).isEqualTo("1");
        guest.link().up = false;
        Await.until(() -> guest.readBackend("carrier").equals("0"), () -> guest.readBackend("carrier"));
        guest.link().up = true;
        Await.until(() -> guest.readBackend("carrier").equals("1"), () -> guest.readBackend("carrier"));
    }

    @ParameterizedTest
    @CsvSource({"4, 6", "4, 17", "6, 6", "6, 17"})
    void withoutOffloadTheLinkGetsFinishedFrames(int version, int protocol) throws Exception {
        start(NetOptions.usual(), "offload", "0").connect();
        guest.sendFrame(PlainFrames.frame(version, protocol, 0, 1000), Netif.TX_CSUM_BLANK, 4096);
        byte[] sent = guest.link().sent().getLast();
        assertThat(sent[0]).isZero();
        assertThat(PlainFrames.isRight(PlainFrames.behind(sent))).isTrue();
        assertThat(guest.link().offload).as("what the link may leave undone").isZero();
    }

    @Test
    void withoutOffloadALargeFrameIsCut() throws Exception {
        start(NetOptions.usual(), "offload", "0").connect();
        byte[] frame = PlainFrames.frame(4, PlainFrames.TCP, 0, 3000);
        java.lang.foreign.MemorySegment.copy(
                frame, 0, guest.page(0), java.lang.foreign.ValueLayout.JAVA_BYTE, 0, frame.length);
        int first = guest.txProd();
        guest.put(new Slot(0, 0, Netif.TX_CSUM_BLANK | Netif.TX_EXTRA_INFO, frame.length));
        guest.putExtra(Netif.EXTRA_GSO, 0, 1448 & 0xFF, 1448 >>> 8, Netif.GSO_TCPV4);
        guest.publishTx();
        assertThat(guest.statuses(first)).containsExactly(0, (int) Netif.STATUS_NULL);
        List<byte[]> sent = guest.link().sent();
        assertThat(sent).extracting(bytes -> bytes.length - 10 - 54).containsExactly(1448, 1448, 104);
        assertThat(sent).allSatisfy(bytes -> {
            assertThat(bytes[1]).as("segments left to cut").isZero();
            assertThat(PlainFrames.isRight(PlainFrames.behind(bytes))).isTrue();
        });
        assertThat(guest.counters().txPackets()).isOne();
    }
}
