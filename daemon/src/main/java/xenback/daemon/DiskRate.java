package xenback.daemon;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The speed of one disk over an interval, and its queue depth at the end. */
record DiskRate(
        String name,
        String interfaceName,
        double readsPerSecond,
        double readBytesPerSecond,
        double writesPerSecond,
        double writtenBytesPerSecond,
        int queueDepth) {

    /**
     * The rates between two looks at the counters, {@code nanos} apart. A disk that is new, or whose counters fell because
     * it was attached anew, is counted from zero.
     */
    static List<DiskRate> between(List<DiskCounts> before, List<DiskCounts> after, long nanos) {
        Map<String, DiskCounts> earlier = new HashMap<>();
        for (DiskCounts counts : before) {
            earlier.put(counts.interfaceName(), counts);
        }
        double seconds = Math.max(nanos, 1) / 1e9;
        List<DiskRate> rates = new ArrayList<>();
        for (DiskCounts now : after) {
            DiskCounts then = earlier.get(now.interfaceName());
            if (then == null || now.reads() < then.reads() || now.writes() < then.writes()) {
                then = new DiskCounts(now.name(), now.interfaceName(), 0, 0, 0, 0, 0);
            }
            rates.add(new DiskRate(
                    now.name(),
                    now.interfaceName(),
                    (now.reads() - then.reads()) / seconds,
                    (now.readBytes() - then.readBytes()) / seconds,
                    (now.writes() - then.writes()) / seconds,
                    (now.writtenBytes() - then.writtenBytes()) / seconds,
                    now.requestsInFlight()));
        }
        return rates;
    }
}
