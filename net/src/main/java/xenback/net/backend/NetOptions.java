package xenback.net.backend;

import java.time.Duration;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;

/**
 * What frontends are offered, and how long they are waited for.
 *
 * @param maxQueues most pairs of rings of an interface, 1 to 64
 * @param drainTimeout how long a frame waits for the guest to post buffers before it is dropped (rx_drain_timeout_msecs of
 *     Linux' xen-netback)
 * @param stallTimeout after how long without buffers the guest is taken for stalled, and the carrier goes
 *     (rx_stall_timeout_msecs); zero for never
 * @param stagedGrants most pages of a queue that stay mapped at the guest's request (ADD_GREF_MAPPING), 0 to 4096
 * @param unicastFilter whether frames for other stations than the guest's are kept from it; else it gets all that the link has
 * @param antispoof whether a guest may send from its own station and addresses alone, where the node {@code antispoof} says nothing
 */
public record NetOptions(
        int maxQueues,
        Set<NetFeature> features,
        Duration drainTimeout,
        Duration stallTimeout,
        int stagedGrants,
        boolean unicastFilter,
        boolean antispoof) {
    static final int MOST_QUEUES = 64;
    private static final int MOST_STAGED_GRANTS = 4096;

    public NetOptions {
        if (maxQueues < 1 || maxQueues > MOST_QUEUES) {
            throw new IllegalArgumentException("queues: 1 to " + MOST_QUEUES);
        }
        if (stagedGrants < 0 || stagedGrants > MOST_STAGED_GRANTS) {
            throw new IllegalArgumentException("staged grants: 0 to " + MOST_STAGED_GRANTS);
        }
        features = Set.copyOf(features);
    }

    /** Everything, and a queue per processor. */
    public static NetOptions usual() {
        int queues = Math.min(Runtime.getRuntime().availableProcessors(), 8);
        Set<NetFeature> all = EnumSet.allOf(NetFeature.class);
        return new NetOptions(queues, all, Duration.ofSeconds(10), Duration.ofSeconds(60), 1536, false, false);
    }

    boolean offers(NetFeature feature) {
        return features.contains(feature);
    }

    public NetOptions withQueues(int number) {
        return new NetOptions(number, features, drainTimeout, stallTimeout, stagedGrants, unicastFilter, antispoof);
    }

    /** Without some of the features. */
    public NetOptions without(NetFeature... unwanted) {
        Set<NetFeature> rest = EnumSet.noneOf(NetFeature.class);
        rest.addAll(features);
        rest.removeAll(Arrays.asList(unwanted));
        return new NetOptions(maxQueues, rest, drainTimeout, stallTimeout, stagedGrants, unicastFilter, antispoof);
    }

    public NetOptions withTimeouts(Duration drain, Duration stall) {
        return new NetOptions(maxQueues, features, drain, stall, stagedGrants, unicastFilter, antispoof);
    }

    public NetOptions withUnicastFilter(boolean filter) {
        return new NetOptions(maxQueues, features, drainTimeout, stallTimeout, stagedGrants, filter, antispoof);
    }

    public NetOptions withAntispoof(boolean held) {
        return new NetOptions(maxQueues, features, drainTimeout, stallTimeout, stagedGrants, unicastFilter, held);
    }
}
