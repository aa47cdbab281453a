package xenback.xen.bus;

import java.time.Duration;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** Coalesced wake-ups for one control thread: however often it is poked, it looks once. */
final class Mailbox {
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private boolean poked = true; // the first look needs no poke
    private boolean ended;

    void poke() {
        run(() -> poked = true);
    }

    void end() {
        run(() -> ended = true);
    }

    /** Runs something under the lock and wakes the thread. */
    void run(Runnable action) {
        lock.lock();
        try {
            action.run();
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits for a poke.
     *
     * @param atMost returns after that time too; zero waits for ever
     * @return false when it is over
     */
    boolean await(Duration atMost) {
        lock.lock();
        try {
            long nanosLeft = atMost.toNanos();
            while (!poked && !ended) {
                if (atMost.isZero()) {
                    changed.await();
                } else {
                    nanosLeft = changed.awaitNanos(nanosLeft);
                    if (nanosLeft <= 0) {
                        break;
                    }
                }
            }
            poked = false;
            return !ended;
        } catch (InterruptedException e) {
            return false;
        } finally {
            lock.unlock();
        }
    }
}
