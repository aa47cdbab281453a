package xenback.daemon;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The speed of one interface over an interval.
 *
 * @param name the frontend's, such as {@code xn0}
 */
record NicTraffic(
        String name,
        String interfaceName,
        double sentPerSecond,
        double sentBytesPerSecond,
        double receivedPerSecond,
        double receivedBytesPerSecond) {
    /** What went through one interface since it was attached; sent and received as the guest sees it. */
    record Counts(String name, String interfaceName, long sent, long sentBytes, long received, long receivedBytes) {
        static Counts of(NicView nic) {
            return new Counts(
                    nic.name(),
                    nic.interfaceName(),
                    nic.row().counters().txPackets(),
                    nic.row().counters().txBytes(),
                    nic.row().counters().rxPackets(),
                    nic.row().counters().rxBytes());
        }
    }

    /** The rates between two looks at the counters, {@code nanos} apart; what is new or began anew is counted from zero. */
    static List<NicTraffic> between(List<Counts> before, List<Counts> after, long nanos) {
        Map<String, Counts> earlier = new HashMap<>();
        before.forEach(counts -> earlier.put(counts.interfaceName(), counts));
        double seconds = Math.max(nanos, 1) / 1e9;
        List<NicTraffic> traffic = new ArrayList<>();
        for (Counts now : after) {
            Counts then = earlier.get(now.interfaceName());
            if (then == null || now.sent() < then.sent() || now.received() < then.received()) {
                then = new Counts(now.name(), now.interfaceName(), 0, 0, 0, 0);
            }
            traffic.add(new NicTraffic(
                    now.name(),
                    now.interfaceName(),
                    (now.sent() - then.sent()) / seconds,
                    (now.sentBytes() - then.sentBytes()) / seconds,
                    (now.received() - then.received()) / seconds,
                    (now.receivedBytes() - then.receivedBytes()) / seconds));
        }
        return traffic;
    }
}
