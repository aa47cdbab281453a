package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import xenback.net.HostileNetGuest.Slot;
import xenback.net.backend.NetOptions;
import xenback.net.protocol.NetRule;
import xenback.net.protocol.NetSlots;
import xenback.net.protocol.Netif;
import xenback.xen.bus.XenbusState;

/** XSA-39, XSA-155, XSA-332, XSA-43: whatever a guest does to its rings costs it the interface at most, and others nothing. */
class HostileNetRingTest {
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

    private void comesBack() throws Exception {
        guest.awaitBackend(XenbusState.CLOSING);
        assertThat(guest.counters().violations(NetRule.RING_OVERFLOW)).isOne();
        guest.takeBack();
        guest.reset();
        guest.connect();
        assertThat(guest.works()).isTrue();
    }

    @ParameterizedTest
    @CsvSource({"257", "1000", "2147483647", "-2147483648", "-1", "-257"})
    void claimsOfTheImpossibleToSendCostTheInterface(int claim) throws Exception {
        assertThat(guest.works()).isTrue();
        guest.claimTx(guest.txAnswered() + claim);
        comesBack();
    }

    @ParameterizedTest
    @CsvSource({"257", "2147483647", "-2147483648", "-1"})
    void claimsOfImpossibleBuffersCostTheInterface(int claim) throws Exception {
        guest.claimRx(claim);
        guest.link().put(PlainFrames.finished(new byte[60], 0));
        comesBack();
    }

    /** Also while nothing waits for them, and at once: before the first buffers they are looked for. */
    @Test
    void claimsOfImpossibleBuffersCostTheInterfaceWithoutAFrame() throws Exception {
        guest.claimRx(1000);
        comesBack();
    }

    @Test
    void believesNothingThatAGuestWritesIntoTheBackendsCounters() throws Exception {
        for (int round = 0; round < 100; round++) {
            guest.ring(0).set(ValueLayout.JAVA_INT, 8, 0x5A5A5A5A); // rspProd, ours to write
            guest.ring(0).set(ValueLayout.JAVA_INT, 4, round * 1_000_003); // reqEvent
            guest.put(new Slot(0, 0, 0, 60));
            guest.publishTx();
            Await.until(() -> guest.txAnswered() == guest.txProd(), () -> "an answer");
        }
        assertThat(guest.link().sent()).hasSize(100);
    }

    /** A restored guest's buffers are on the ring already, and the backend begins where it stands. */
    @Test
    void beginsWhereTheRingStands() throws Exception {
        guest.reset();
        guest.prepare();
        for (int ring = 0; ring < 2; ring++) {
            guest.ring(ring).set(ValueLayout.JAVA_INT, 0, 1000);
            guest.ring(ring).set(ValueLayout.JAVA_INT, 8, 1000);
        }
        for (int i = 0; i < 8; i++) {
            NetSlots.putRxRequest(guest.rxSlot(1000 + i), i, guest.gref(300 + i));
        }
        guest.ring(1).set(ValueLayout.JAVA_INT, 0, 1008);
        guest.publish();
        guest.state(XenbusState.INITIALISED);
        guest.awaitBackend(XenbusState.CONNECTED);
        guest.state(XenbusState.CONNECTED);
        guest.link().put(PlainFrames.finished(new byte[60], 0));
        Await.until(() -> guest.rxAnswered() == 1001, () -> "rsp_prod " + guest.rxAnswered());
        NetSlots.putTxRequest(guest.txSlot(1000), guest.gref(0), 0, 0, 3, 60);
        guest.claimTx(1001);
        Await.until(() -> guest.txAnswered() == 1001, () -> "rsp_prod " + guest.txAnswered());
        assertThat(guest.link().sent()).hasSize(1);
    }

    /** XSA-155: the slots change while they are read. What comes to the link is what was judged, or nothing. */
    @Test
    void slotsThatChangeWhileTheyAreReadDoNoHarm() throws Exception {
        boolean[] ending = {false};
        Thread mutator = Thread.ofPlatform().start(() -> {
            Random random = new Random(155);
            while (!ending[0]) {
                MemorySegment slot = guest.txSlot(random.nextInt(256));
                slot.set(ValueLayout.JAVA_SHORT, 10, (short) random.nextInt(80));
                slot.set(ValueLayout.JAVA_SHORT, 4, (short) random.nextInt(4096));
            }
        });
        try {
            for (int round = 0; round < 300; round++) {
                int first = guest.txProd();
                for (int i = 0; i < 100; i++) {
                    guest.put(new Slot(i, 0, 0, 60));
                }
                guest.publishTx();
                if (guest.backendState() != XenbusState.CONNECTED) {
                    break;
                }
                Await.until(
                        () -> guest.txAnswered() == guest.txProd() || guest.backendState() != XenbusState.CONNECTED,
                        () -> "answers from " + first);
            }
        } finally {
            ending[0] = true;
            mutator.join();
        }
        assertThat(guest.link().sent()).allMatch(frame -> frame.length >= 10 + 14 && frame.length < 10 + 80);
    }

    @Test
    void randomSlotsCostTheInterfaceAtMost() throws Exception {
        long seed = Long.getLong("xenback.seed", System.nanoTime());
        System.out.println("repeat with ./dev test HostileNetRingTest -Dxenback.seed=" + seed);
        Random random = new Random(seed);
        for (int round = 0; round < 60; round++) {
            if (guest.backendState() != XenbusState.CONNECTED) {
                guest.awaitBackend(XenbusState.CLOSING);
                guest.takeBack();
                guest.reset();
                guest.connect();
            }
            for (int i = 0; i < 200; i++) {
                if (random.nextInt(6) == 0) {
                    guest.putExtra(
                            random.nextInt(8),
                            random.nextInt(2),
                            random.nextInt(256),
                            random.nextInt(256),
                            random.nextInt(4));
                } else {
                    int page = random.nextInt(300);
                    int gref = random.nextInt(20) == 0 ? random.nextInt() : guest.gref(page);
                    int size = random.nextInt(8) == 0 ? random.nextInt(65_536) : random.nextInt(2000);
                    int offset = random.nextInt(20) == 0 ? random.nextInt(65_536) : random.nextInt(2000);
                    int flags = random.nextInt(3) == 0 ? random.nextInt(16) : random.nextInt(4);
                    guest.put(gref, new Slot(page, offset, flags, size));
                }
            }
            guest.publishTx();
            Await.until(
                    () -> guest.txAnswered() == guest.txProd() || guest.backendState() != XenbusState.CONNECTED,
                    () -> "answers up to " + guest.txProd() + ", there are " + guest.txAnswered());
        }
        Await.until(() -> log.lines().size() < 100, () -> log.lines().size() + " lines");
    }

    @Test
    void aStormOfEventsIsDamped() throws Exception {
        assertThat(guest.works()).isTrue();
        Await.until(
                () -> {
                    guest.notifyBackend();
                    return guest.counters().damped() > 0;
                },
                () -> "damped events");
        assertThat(guest.works()).isTrue();
    }

    @Test
    void aFloodOfBadPacketsIsLoggedOnceASecond() throws Exception {
        long begin = System.nanoTime();
        for (int i = 0; i < 1000; i++) {
            assertThat(guest.send(new Slot(0, 0, 0, 5))).containsExactly((int) Netif.STATUS_ERROR);
        }
        long seconds = (System.nanoTime() - begin) / 1_000_000_000L;
        assertThat(guest.counters().violations(NetRule.RUNT)).isEqualTo(1000);
        assertThat(log.lines().stream().filter(line -> line.contains("RUNT")).count())
                .isBetween(1L, seconds + 2);
    }
}
