package xenback.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.net.HostileNetGuest.Received;
import xenback.net.HostileNetGuest.Slot;
import xenback.net.backend.NetOptions;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.Netif;
import xenback.xen.grant.GrantCopyBatch.Direction;
import xenback.xen.testing.HookedXen;

/**
 * When the backend looks at the three rings, and when it says that it will not look any more: nothing is left lying there, and
 * no event is taken that is not needed. The guest acts amid the backend's turn, at moments that it else would meet by luck.
 */
class NetSweepTest {
    private static final Slot SLOT = new Slot(0, 0, 0, 60);
    private static final byte[] FRAME = PlainFrames.finished(new byte[60], 0);

    @TempDir
    private Path dir;

    private NetMachine machine;
    private HookedXen xen;
    private HostileNetGuest guest;

    // The backend's ends of the event channels, by the order in which it binds them.
    private int port;
    private int controlPort;

    /** Begins when what a new channel's first event causes is over. */
    @BeforeEach
    void start() throws Exception {
        Set<Integer> ports = new ConcurrentSkipListSet<>();
        machine = new NetMachine(dir, NetOptions.usual(), whole -> {
            xen = new HookedXen(whole).beforeUnmask(ports::add);
            return xen;
        });
        guest = new HostileNetGuest(machine, machine.guest(1)).connect();
        Await.until(() -> ports.size() == 2, () -> "the first events, of two channels: " + ports);
        Iterator<Integer> all = ports.iterator();
        port = all.next();
        controlPort = all.next();
    }

    /** Has something noted when events of a ring are let through. */
    private void atUnmask(int ring, Runnable note) {
        int its = ring == HostileNetGuest.CONTROL ? controlPort : port;
        xen.beforeUnmask(unmasked -> {
            if (unmasked == its) {
                note.run();
            }
        });
    }

    @AfterEach
    void close() {
        guest.close();
        machine.close();
    }

    private void awaitAnswered(int ring, int answers) throws Exception {
        Await.until(
                () -> guest.answered(ring) == answers, () -> answers + " answers, there are " + guest.answered(ring));
    }

    /** Once {@code acted} is not empty: how many requests of a ring were unanswered when events were let through. */
    private List<Integer> leftLying(int ring, List<?> acted) {
        List<Integer> lying = new CopyOnWriteArrayList<>();
        atUnmask(ring, () -> {
            if (!acted.isEmpty()) {
                lying.add(guest.reqProd(ring) - guest.answered(ring));
            }
        });
        return lying;
    }

    /** As it is between a look at the producer's counter and the wish for an event: the guest sends none. */
    @Test
    void takesARequestThatComesWhileTheBackendStopsLooking() throws Exception {
        guest.post(1);
        List<Boolean> events = new CopyOnWriteArrayList<>();
        List<Integer> lying = leftLying(HostileNetGuest.TX, events);
        xen.beforeCopy(batch -> {
            if (batch.direction() == Direction.FROM_GUEST && guest.reqProd(HostileNetGuest.TX) == 1) {
                guest.link().put(FRAME); // comes to the next look, which finds no request
            } else if (batch.direction() == Direction.TO_GUEST) {
                events.add(guest.sendAsAgreed(SLOT));
            }
        });
        assertThat(guest.sendAsAgreed(SLOT)).isTrue();
        awaitAnswered(HostileNetGuest.TX, 2);
        assertThat(events).as("no event was asked for").containsExactly(false);
        Await.until(() -> !lying.isEmpty(), () -> "events are let through");
        assertThat(lying).containsOnly(0);
    }

    /** The same for a buffer, while a frame waits for one. */
    @Test
    void takesABufferThatComesWhileTheBackendStopsLooking() throws Exception {
        List<Boolean> events = new CopyOnWriteArrayList<>();
        List<Integer> lying = leftLying(HostileNetGuest.RX, events);
        xen.beforeCopy(batch -> {
            if (events.isEmpty()) {
                events.add(guest.postAsAgreed());
            }
        });
        guest.link().put(FRAME, FRAME);
        Await.until(() -> guest.link().unreceived() == 0, () -> "frames that wait for buffers");
        assertThat(guest.postAsAgreed()).isTrue();
        assertThat(guest.receive(2)).extracting(Received::status).containsExactly(60, 60);
        assertThat(events).as("no event was asked for").containsExactly(false);
        Await.until(() -> !lying.isEmpty(), () -> "events are let through");
        assertThat(lying).containsOnly(0);
    }

    /** So they are copied from the processor's cache, and the guest has some to work on while others are copied. */
    @Test
    void copiesLargeFramesAFewAtATimeFromTheSameMemoryAndTellsOfThem() throws Exception {
        int frames = 15;
        int slots = 16; // Netif.MOST_FRAME_BYTES
        Set<Long> pages = new ConcurrentSkipListSet<>();
        List<Integer> copies = new CopyOnWriteArrayList<>();
        List<Integer> told = new CopyOnWriteArrayList<>();
        xen.beforeCopy(batch -> {
            told.add(guest.rxAnswered());
            copies.add(batch.count());
            for (int i = 0; i < batch.count(); i++) {
                pages.add(batch.local(i).address() + batch.localOffset(i) >> 12);
            }
        });
        guest.post(frames * slots);
        byte[][] large = new byte[frames][];
        Arrays.setAll(large, i -> PlainFrames.finished(new byte[Netif.MOST_FRAME_BYTES], 0));
        guest.link().put(large);
        assertThat(guest.receive(frames * slots)).hasSize(frames * slots);
        assertThat(copies).allMatch(count -> count <= 4 * slots);
        assertThat(pages).hasSizeLessThanOrEqualTo(4 * slots);
        int copied = 0;
        for (int i = 0; i < copies.size(); i++) {
            assertThat(told.get(i)).isEqualTo(copied);
            copied += copies.get(i);
        }
    }

    /** Here is nothing to act amid, so it is left to luck, which is great: a message follows each answer at once. */
    @Test
    void takesAMessageThatComesWhileTheBackendStopsLooking() throws Exception {
        Random random = new Random(1);
        int silent = 0;
        for (int i = 1; i <= 5000; i++) {
            silent += guest.sayAsAgreed(NetControl.GET_HASH_MAPPING_SIZE) ? 0 : 1;
            int answers = i;
            long patience = System.nanoTime() + 1_000_000;
            while (guest.answered(HostileNetGuest.CONTROL) != answers && System.nanoTime() < patience) {
                Thread.onSpinWait();
            }
            awaitAnswered(HostileNetGuest.CONTROL, answers);
            for (int spins = random.nextInt(200); spins > 0; spins--) {
                Thread.onSpinWait();
            }
        }
        assertThat(silent).as("messages for which no event was asked").isPositive();
    }

    /** Notes how far a ring's requests and the wish for an event had come whenever events were let through. */
    private List<String> armedAtUnmask(int ring) {
        List<String> armed = new CopyOnWriteArrayList<>();
        atUnmask(ring, () -> armed.add(guest.reqEvent(ring) + " after " + guest.reqProd(ring)));
        return armed;
    }

    private static void awaitArmed(List<String> unmasked, int requests) throws Exception {
        String armed = requests + 1 + " after " + requests;
        Await.until(() -> unmasked.contains(armed), () -> armed + ", unmasked were " + unmasked);
    }

    @Test
    void asksForTheNextRequestsEventBeforeItLetsEventsThrough() throws Exception {
        List<String> unmasked = armedAtUnmask(HostileNetGuest.TX);
        for (int i = 1; i <= 3; i++) {
            guest.send(SLOT);
            awaitArmed(unmasked, i);
        }
        assertThat(unmasked).isSubsetOf("2 after 1", "3 after 2", "4 after 3");
    }

    @Test
    void asksForTheNextBuffersEventBeforeItLetsEventsThrough() throws Exception {
        guest.link().put(FRAME, FRAME, FRAME, FRAME);
        Await.until(() -> guest.link().unreceived() == 0, () -> "frames that wait for buffers");
        List<String> unmasked = armedAtUnmask(HostileNetGuest.RX);
        for (int i = 1; i <= 3; i++) {
            guest.post(1);
            awaitArmed(unmasked, i);
        }
        assertThat(unmasked).isSubsetOf("2 after 1", "3 after 2", "4 after 3");
    }

    @Test
    void asksForTheNextMessagesEventBeforeItLetsEventsThrough() throws Exception {
        List<String> unmasked = armedAtUnmask(HostileNetGuest.CONTROL);
        for (int i = 1; i <= 3; i++) {
            guest.ask(NetControl.GET_HASH_MAPPING_SIZE, 0, 0, 0);
            awaitArmed(unmasked, i);
        }
        assertThat(unmasked).isSubsetOf("2 after 1", "3 after 2", "4 after 3");
    }

    /** What is still to come when events of a ring are let through, if each copy from the guest brings one more. */
    private List<Integer> stillToCome(int ring, Runnable more) {
        AtomicInteger left = new AtomicInteger(100);
        List<Integer> unmasked = new CopyOnWriteArrayList<>();
        atUnmask(ring, () -> unmasked.add(left.get()));
        xen.beforeCopy(batch -> {
            if (batch.direction() == Direction.FROM_GUEST && left.decrementAndGet() >= 0) {
                more.run();
            }
        });
        return unmasked;
    }

    @Test
    void letsNoEventThroughWhileEachLookFindsRequests() throws Exception {
        List<Integer> unmasked = stillToCome(HostileNetGuest.TX, () -> {
            guest.put(SLOT);
            guest.publishTx(); // with an event each time, asked for or not
        });
        guest.put(SLOT);
        guest.publishTx();
        awaitAnswered(HostileNetGuest.TX, 101);
        Await.until(() -> !unmasked.isEmpty(), () -> "the end of it");
        assertThat(unmasked.getFirst()).as("requests that were to come").isNegative();
    }

    @Test
    void letsNoEventThroughWhileEachLookFindsMessages() throws Exception {
        List<Integer> unmasked =
                stillToCome(HostileNetGuest.CONTROL, () -> guest.say(NetControl.SET_HASH_KEY, guest.gref(0), 40));
        guest.say(NetControl.SET_HASH_KEY, guest.gref(0), 40);
        awaitAnswered(HostileNetGuest.CONTROL, 101);
        Await.until(() -> !unmasked.isEmpty(), () -> "the end of it");
        assertThat(unmasked.getFirst()).as("messages that were to come").isNegative();
    }
}
