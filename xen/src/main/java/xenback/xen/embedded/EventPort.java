package xenback.xen.embedded;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * One end of an event channel. What may be seen while others change it, without a lock: the peer (replaced as a whole) and
 * two bits, with the meaning they have in /dev/xen/evtchn. A port is masked by its delivery, so it is in its set's queue at
 * most once.
 */
final class EventPort {
    private static final int PENDING = 1;
    private static final int MASKED = 2;
    private static final VarHandle BITS;

    static {
        try {
            BITS = MethodHandles.lookup().findVarHandle(EventPort.class, "bits", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    final int number;
    final int remoteDomid;

    /** Who opened it: it alone may use it, as a port of /dev/xen/evtchn belongs to one open file. */
    final EmbeddedEventChannels set;

    /** The other end while bound; under the lock of {@link EventPorts} for writing. */
    volatile @Nullable EventPort peer;

    @SuppressWarnings("unused") // through BITS
    private volatile int bits;

    EventPort(int number, int remoteDomid, EmbeddedEventChannels set) {
        this.number = number;
        this.remoteDomid = remoteDomid;
        this.set = set;
    }

    /** An event for this end. */
    void raise() {
        while (true) {
            int now = (int) BITS.getVolatile(this);
            if ((now & MASKED) != 0) {
                if ((now & PENDING) != 0 || BITS.compareAndSet(this, now, now | PENDING)) {
                    return;
                }
            } else if (BITS.compareAndSet(this, now, MASKED)) {
                set.deliver(this);
                return;
            }
        }
    }

    /** Delivery is allowed again. */
    void unmask() {
        while (true) {
            int now = (int) BITS.getVolatile(this);
            if ((now & PENDING) != 0) {
                if (BITS.compareAndSet(this, now, MASKED)) {
                    set.deliver(this);
                    return;
                }
            } else if (BITS.compareAndSet(this, now, 0)) {
                return;
            }
        }
    }
}
