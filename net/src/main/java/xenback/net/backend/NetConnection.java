package xenback.net.backend;

import org.jspecify.annotations.Nullable;
import xenback.net.link.LinkQueue;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantTable;
import xenback.xen.io.EventLoop;

/**
 * What a queue needs of the hypervisor, of its link and of its session.
 *
 * @param name the interface, {@code xnb1i0}
 * @param guestDomid the frontend's domain
 * @param receives what may be sent to the guest
 * @param policy what all queues obey
 * @param drainNanos how long a frame waits for buffers
 * @param stallNanos without buffers for so long the guest is taken for stalled; 0: never
 * @param staged the guest's pages that stay mapped, if it may have some
 * @param kicks whether the guest sends an event for new receive requests
 * @param events the set that holds both ports
 * @param txPort our end of the transmit ring's event channel
 * @param rxPort the same for the receive ring; equal to {@code txPort} if there is one for both
 * @param grants used by this queue alone
 */
record NetConnection(
        String name,
        int guestDomid,
        NetifParameters.Receives receives,
        NetPolicy policy,
        boolean kicks,
        long drainNanos,
        long stallNanos,
        EventLoop loop,
        EventChannels events,
        int txPort,
        int rxPort,
        GrantTable grants,
        @Nullable StagedGrants staged,
        LinkQueue link,
        Ties ties) {
    /** What a queue tells its device. Any thread, never blocks. */
    interface Ties {
        /** The guest has broken its ring. */
        void broken(String why);

        /** A queue is stalled, or is no longer. */
        void changed();
    }
}
