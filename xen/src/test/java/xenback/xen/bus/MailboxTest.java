package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class MailboxTest {
    @Test
    void needsNoPokeForTheFirstLook() {
        Mailbox mailbox = new Mailbox();
        assertThat(mailbox.await(Long.MAX_VALUE)).isEqualTo(Mailbox.POKED);
        assertThat(mailbox.await(1)).isZero();
    }

    @Test
    void takesAllNewsAtOnce() {
        Mailbox mailbox = new Mailbox();
        mailbox.take();
        for (int i = 0; i < 1000; i++) {
            mailbox.post(Mailbox.CHANGED);
            mailbox.post(Mailbox.ENDED);
        }
        assertThat(mailbox.await(Long.MAX_VALUE)).isEqualTo(Mailbox.CHANGED | Mailbox.ENDED);
        assertThat(mailbox.hasNews()).isFalse();
    }

    /** Posters and one reader that always sleeps when there is nothing: a lost wake-up is a reader that sleeps for ever. */
    @Test
    void losesNoNews() throws InterruptedException {
        Mailbox mailbox = new Mailbox();
        AtomicLong posted = new AtomicLong();
        AtomicLong read = new AtomicLong();
        int posters = 2;
        long each = 20_000;
        CountDownLatch done = new CountDownLatch(1);
        Thread.ofVirtual().start(() -> {
            while (read.get() < posters * each) {
                mailbox.await(Long.MAX_VALUE);
                read.set(posted.get());
            }
            done.countDown();
        });
        for (int poster = 0; poster < posters; poster++) {
            Thread.ofPlatform().daemon().start(() -> {
                for (long i = 0; i < each; i++) {
                    posted.incrementAndGet();
                    mailbox.post(Mailbox.CHANGED);
                    if (i % 64 == 0) {
                        LockSupport.parkNanos(1); // so that the reader falls asleep now and then
                    }
                }
            });
        }
        assertThat(done.await(30, TimeUnit.SECONDS)).isTrue();
    }

    /** A storm of news costs its poster nothing; the first of them wakes the thread, which is the JDK's affair. */
    @Test
    void allocatesNothingForNewsThatWaitAlready() {
        Mailbox mailbox = new Mailbox();
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        mailbox.post(Mailbox.CHANGED);
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 100_000; i++) {
            mailbox.post(Mailbox.CHANGED);
        }
        assertThat(threads.getCurrentThreadAllocatedBytes() - before).isLessThan(10_000);
    }

    @Test
    void wakesAtItsTimeWithoutNews() throws InterruptedException {
        AtomicInteger turns = new AtomicInteger();
        CountDownLatch ended = new CountDownLatch(1);
        Control control = new Control(
                "test",
                new Control.Work() {
                    @Override
                    public long turn(int news) {
                        return turns.incrementAndGet() == 3
                                ? Control.OVER
                                : Duration.ofMillis(1).toNanos();
                    }

                    @Override
                    public void end() {
                        ended.countDown();
                    }
                },
                Control.LIVE);
        control.start();
        assertThat(ended.await(30, TimeUnit.SECONDS)).isTrue();
        control.awaitEnd();
        assertThat(turns).hasValue(3);
    }

    @Test
    void endsWithItsWorkWhateverThatDoes() {
        AtomicInteger ends = new AtomicInteger();
        Control control = new Control(
                "test",
                new Control.Work() {
                    @Override
                    public long turn(int news) {
                        throw new IllegalStateException("a fault");
                    }

                    @Override
                    public void end() {
                        ends.incrementAndGet();
                        throw new IllegalStateException("another");
                    }
                },
                Control.LIVE);
        control.start();
        control.awaitEnd();
        assertThat(ends).hasValue(1);
    }
}
