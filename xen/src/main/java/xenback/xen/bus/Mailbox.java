package xenback.xen.bus;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * News for one control thread, coalesced: however often something is posted, the thread looks once. Posting is for any
 * thread, an event loop's too: it takes no lock, and allocates nothing while news wait that the thread has not taken.
 */
final class Mailbox {
    /** Something in the store may have changed. */
    static final int POKED = 1;

    /** The driver has new values. */
    static final int CHANGED = 2;

    /** It is over. */
    static final int ENDED = 4;

    private static final VarHandle NEWS;

    static {
        try {
            NEWS = MethodHandles.lookup()
                    .findVarHandle(Mailbox.class, "news", int.class)
                    .withInvokeExactBehavior();
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    @SuppressWarnings("UnusedVariable") // through its handle
    private volatile int news = POKED; // the first look needs no poke

    private volatile @Nullable Thread reader;

    void post(int what) {
        // Who finds other news has a predecessor that has woken the reader, and the reader takes all of them at once.
        if ((int) NEWS.getAndBitwiseOr(this, what) == 0) {
            LockSupport.unpark(reader);
        }
    }

    /** True if something was posted and not taken yet. */
    boolean hasNews() {
        return (int) NEWS.getVolatile(this) != 0;
    }

    /** The reader's: what was posted since the last time. */
    int take() {
        return (int) NEWS.getAndSet(this, 0);
    }

    /**
     * The reader's: waits for news and takes them.
     *
     * @param atMostNanos returns without any after that time; {@link Long#MAX_VALUE} waits for ever
     */
    int await(long atMostNanos) {
        reader = Thread.currentThread(); // before the look: who posts after it finds the thread to wake
        long startNanos = System.nanoTime();
        while (true) {
            int taken = take();
            if (taken != 0) {
                return taken;
            }
            if (atMostNanos == Long.MAX_VALUE) {
                LockSupport.park(this);
                continue;
            }
            long nanosLeft = atMostNanos - (System.nanoTime() - startNanos);
            if (nanosLeft <= 0) {
                return 0;
            }
            LockSupport.parkNanos(this, nanosLeft);
        }
    }
}
