package xenback.xen.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.event.EventChannels;
import xenback.xen.io.EventLoop;

/** Event channels of the embedded Xen keep the rules of event_channel.c and of /dev/xen/evtchn. */
class EmbeddedEventTest {
    @TempDir
    private Path dir;

    private EmbeddedXen xen;
    private Domain guest;
    private EventChannels back;
    private EventChannels front;

    @BeforeEach
    void start() throws XenException {
        xen = EmbeddedXen.start(dir.resolve("run"));
        guest = xen.createDomain(1, 16);
        back = xen.domain0().openEventChannels(1);
        front = guest.openEventChannels(0);
    }

    @AfterEach
    void close() {
        back.close();
        front.close();
        xen.close();
    }

    private static int[] pending(EventChannels channels) {
        int[] ports = new int[64];
        return Arrays.copyOf(ports, channels.takePending(ports));
    }

    private static int[] taken(EventChannels channels, int atMost) {
        int[] ports = new int[atMost];
        int count = channels.takePending(ports);
        return Arrays.copyOf(ports, count);
    }

    private static void assertRefused(Errno errno, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        XenException.class, e -> assertThat(e.errno()).isEqualTo(errno));
    }

    /** A pair with the initial event taken and both ends open for delivery. */
    private int[] pair() throws XenException {
        int unbound = front.bindUnbound(0);
        int bound = back.bindInterdomain(1, unbound);
        assertThat(taken(back, 4)).containsExactly(bound);
        back.unmask(bound);
        return new int[] {bound, unbound};
    }

    @Test
    void carriesEventsBothWays() throws XenException {
        int[] ports = pair();
        back.notifyPort(ports[0]);
        assertThat(taken(front, 4)).containsExactly(ports[1]);
        front.notifyPort(ports[1]);
        assertThat(taken(back, 4)).containsExactly(ports[0]);
        assertThat(taken(back, 4)).isEmpty();
        assertThat(taken(front, 4)).isEmpty();
    }

    @Test
    void raisesOneEventAtTheBinderForWhatWasSentBefore() throws XenException {
        int unbound = front.bindUnbound(0);
        front.notifyPort(unbound); // goes nowhere, as nobody is bound
        int bound = back.bindInterdomain(1, unbound);
        assertThat(taken(back, 4)).containsExactly(bound);
        assertThat(taken(front, 4)).isEmpty();
    }

    @Test
    void deliversOnceAndKeepsOneEventWhileMasked() throws XenException {
        int[] ports = pair();
        for (int i = 0; i < 3; i++) {
            front.notifyPort(ports[1]);
        }
        assertThat(taken(back, 4)).containsExactly(ports[0]); // the first delivered, the others kept as one
        assertThat(taken(back, 4)).isEmpty();
        back.unmask(ports[0]);
        assertThat(taken(back, 4)).containsExactly(ports[0]);
        back.unmask(ports[0]);
        assertThat(taken(back, 4)).isEmpty();
    }

    @Test
    void bindsOnlyWhatWasLeftForThisDomain() throws XenException {
        int unbound = front.bindUnbound(0);
        int other = front.bindUnbound(5);
        assertRefused(Errno.EINVAL, () -> back.bindInterdomain(1, other));
        assertRefused(Errno.EINVAL, () -> back.bindInterdomain(1, other + 1));
        for (int port : new int[] {0, -1, EventPorts.PORT_LIMIT, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            assertRefused(Errno.EINVAL, () -> back.bindInterdomain(1, port));
        }
        assertRefused(Errno.EINVAL, () -> back.bindInterdomain(9, unbound));
        int portsBefore = xen.domain0().openPorts();
        back.bindInterdomain(1, unbound);
        assertRefused(Errno.EINVAL, () -> back.bindInterdomain(1, unbound)); // taken
        assertThat(xen.domain0().openPorts()).isEqualTo(portsBefore + 1);
    }

    @Test
    void fallsBackToUnboundWhenTheOtherEndClosesAndCanBeBoundAgain() throws XenException {
        int[] ports = pair();
        back.unbind(ports[0]);
        front.notifyPort(ports[1]); // to nobody
        int again = back.bindInterdomain(1, ports[1]);
        assertThat(taken(back, 4)).containsExactly(again);
        back.unmask(again);
        front.notifyPort(ports[1]);
        assertThat(taken(back, 4)).containsExactly(again);

        front.unbind(ports[1]);
        back.notifyPort(again); // to nobody
        assertThat(taken(front, 4)).isEmpty();
        assertThat(guest.openPorts()).isZero();
    }

    @Test
    void aPortBelongsToTheSetThatBoundIt() throws XenException {
        int[] ports = pair();
        try (EventChannels other = xen.domain0().openEventChannels(1)) {
            assertRefused(Errno.ENOTCONN, () -> other.unbind(ports[0]));
            other.notifyPort(ports[0]);
            assertThat(taken(front, 4)).isEmpty();
            front.notifyPort(ports[1]);
            assertThat(taken(other, 4)).isEmpty();
            assertThat(taken(back, 4)).containsExactly(ports[0]);
            front.notifyPort(ports[1]);
            other.unmask(ports[0]);
            assertThat(taken(back, 4)).as("still masked").isEmpty();
        }
        back.unbind(ports[0]);
        assertRefused(Errno.ENOTCONN, () -> back.unbind(ports[0]));
        assertRefused(Errno.ENOTCONN, () -> back.unbind(Integer.MAX_VALUE));
    }

    @Test
    void closingASetUnbindsItsPortsOnly() throws XenException {
        int[] ports = pair();
        EventChannels other = xen.domain0().openEventChannels(1);
        other.bindUnbound(1);
        other.close();
        other.close();
        assertThat(xen.domain0().openPorts()).isEqualTo(1);
        front.notifyPort(ports[1]);
        assertThat(taken(back, 4)).containsExactly(ports[0]);
        assertRefused(Errno.EBADF, () -> other.bindUnbound(1));
        assertThat(xen.domain0().openPorts()).isEqualTo(1);
    }

    @Test
    void aDeadDomainHearsAndSaysNothing() throws XenException {
        int[] ports = pair();
        guest.close();
        back.notifyPort(ports[0]);
        assertThat(taken(back, 4)).isEmpty();
        assertRefused(Errno.EINVAL, () -> back.bindInterdomain(1, ports[1]));
        back.unbind(ports[0]);
        assertThat(xen.domain0().openPorts()).isZero();
    }

    @Test
    void portsComeToAnEndAndCanBeUsedAgain() throws XenException {
        List<Integer> ports = new ArrayList<>();
        for (int i = 1; i < EventPorts.PORT_LIMIT; i++) {
            ports.add(front.bindUnbound(0));
        }
        assertThat(ports).doesNotHaveDuplicates().allMatch(port -> port >= 1 && port < EventPorts.PORT_LIMIT);
        assertRefused(Errno.ENOSPC, () -> front.bindUnbound(0));
        front.unbind(500);
        assertThat(front.bindUnbound(0)).isEqualTo(500);
    }

    @Test
    void takesManyPendingPortsInSmallPortionsAndCallsAgainForTheRest() throws Exception {
        int count = 50;
        for (int i = 0; i < count; i++) {
            back.bindInterdomain(1, front.bindUnbound(0)); // each raises one event here
        }
        List<Integer> seen = new CopyOnWriteArrayList<>();
        CountDownLatch all = new CountDownLatch(count);
        int[] portions = new int[7];
        try (EventLoop loop = EventLoop.start("events", EventLoop.Engine.URING)) {
            back.listen(loop, turnEnd(() -> {
                int taken = back.takePending(portions);
                for (int i = 0; i < taken; i++) {
                    seen.add(portions[i]);
                    all.countDown();
                }
            }));
            assertThat(all.await(10, TimeUnit.SECONDS)).as("%s taken", seen).isTrue();
        }
        assertThat(seen).hasSize(count).doesNotHaveDuplicates();
        assertThat(pending(back)).isEmpty();
    }

    /** XSA-331, XSA-441: a port that was closed under its event must not speak for the next owner of its number. */
    @Test
    void forgetsTheEventOfAPortThatIsClosed() throws XenException {
        int unbound = front.bindUnbound(0);
        for (int rounds : new int[] {1, 10, EventPorts.PORT_LIMIT, EventPorts.PORT_LIMIT + 100}) {
            for (int i = 0; i < rounds; i++) {
                int bound = back.bindInterdomain(1, unbound); // has its initial event pending
                back.unbind(bound);
            }
            assertThat(pending(back)).as("after %d rounds", rounds).isEmpty();
        }
        // The port that stays is delivered, however many have gone through the queue before it.
        for (int i = 1; i < EventPorts.PORT_LIMIT; i++) {
            back.unbind(back.bindInterdomain(1, unbound));
        }
        int bound = back.bindInterdomain(1, unbound);
        assertThat(pending(back)).containsExactly(bound);
    }

    @Test
    void losesNoEventOfManyThreads() throws Exception {
        int senders = 6;
        int rounds = 3000;
        int[] bound = new int[senders];
        int[] unbound = new int[senders];
        for (int i = 0; i < senders; i++) {
            int[] ports = pair();
            bound[i] = ports[0];
            unbound[i] = ports[1];
        }
        // Each sender counts up and notifies; the receiver looks at every counter when woken. At the end all is seen.
        AtomicIntegerArray sent = new AtomicIntegerArray(senders);
        AtomicIntegerArray seen = new AtomicIntegerArray(senders);
        AtomicInteger wakeUps = new AtomicInteger();
        CountDownLatch all = new CountDownLatch(senders);
        int[] portions = new int[2];
        try (EventLoop loop = EventLoop.start("events", EventLoop.Engine.URING)) {
            back.listen(loop, turnEnd(() -> {
                int count = back.takePending(portions);
                for (int i = 0; i < count; i++) {
                    wakeUps.incrementAndGet();
                    int sender = indexOf(bound, portions[i]);
                    back.unmask(portions[i]); // unmask first, then look: what comes later is an event again
                    int now = sent.get(sender);
                    if (seen.getAndSet(sender, now) < rounds && now == rounds) {
                        all.countDown();
                    }
                }
            }));
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < senders; i++) {
                int sender = i;
                threads.add(Thread.ofPlatform().start(() -> {
                    for (int round = 1; round <= rounds; round++) {
                        sent.set(sender, round);
                        front.notifyPort(unbound[sender]);
                    }
                }));
            }
            for (Thread thread : threads) {
                thread.join();
            }
            assertThat(all.await(10, TimeUnit.SECONDS))
                    .as("seen %s of %s", seen, sent)
                    .isTrue();
            assertThat(wakeUps.get()).isBetween(senders, senders * rounds);
        }
    }

    private static EventLoop.TurnEnd turnEnd(Runnable work) {
        return new EventLoop.TurnEnd() {
            @Override
            protected void endTurn() {
                work.run();
            }
        };
    }

    private static int indexOf(int[] ports, int port) {
        for (int i = 0; i < ports.length; i++) {
            if (ports[i] == port) {
                return i;
            }
        }
        throw new AssertionError("an event on port " + port + ", which nobody has");
    }
}
