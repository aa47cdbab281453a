package xenback.net;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import xenback.net.backend.NetFeature;
import xenback.net.backend.NetOptions;
import xenback.net.frontend.XnFeature;
import xenback.net.frontend.XnOptions;

/**
 * Each feature of either end left out or put in, alone and some together: the same {@linkplain RandomTraffic random packets}
 * arrive, whatever the ends have agreed on.
 */
class NetFeatureMatrixTest {
    private static final int PACKETS = 1500;

    @TempDir
    private Path dir;

    /** What both ends do. */
    record Case(String name, NetOptions options, XnOptions xn, int queues) {
        @Override
        public String toString() {
            return name;
        }

        boolean scatterGather() {
            return options.features().contains(NetFeature.SCATTER_GATHER)
                    && xn.features().contains(XnFeature.SCATTER_GATHER);
        }
    }

    static List<Case> cases() {
        NetOptions usual = NetOptions.usual().withQueues(1);
        List<Case> cases = new ArrayList<>();
        for (NetFeature feature : NetFeature.values()) {
            cases.add(new Case("xnb without " + feature, usual.without(feature), XnOptions.usual(), 1));
        }
        for (XnFeature feature : XnOptions.usual().features()) {
            cases.add(new Case("xn without " + feature, usual, XnOptions.usual().without(feature), 1));
        }
        for (XnFeature feature : new XnFeature[] {XnFeature.STAGED_GRANTS, XnFeature.HASH, XnFeature.XDP_HEADROOM}) {
            cases.add(new Case("xn with " + feature, usual, XnOptions.usual().with(feature), 1));
        }
        cases.add(new Case("plain xn", usual, XnOptions.plain(), 1));
        cases.add(new Case("plain xnb", usual.without(NetFeature.values()), XnOptions.usual(), 1));
        XnOptions all = XnOptions.usual().with(XnFeature.values());
        cases.add(new Case("all of both", usual, all, 1));
        return cases;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void packetsArriveWhateverTheEndsAgreeOn(Case agreed) throws Exception {
        long seed = Long.getLong("xenback.seed", System.nanoTime());
        System.out.println(agreed + ": repeat with ./dev test NetFeatureMatrixTest -Dxenback.seed=" + seed);
        boolean many = agreed.scatterGather();
        try (Crossover cable = Crossover.bridged(dir, agreed.options(), agreed.xn(), agreed.queues())) {
            new RandomTraffic(many ? 60_000 : 1200, many ? 9000 : 1200, null).run(cable, PACKETS, new Random(seed));
        }
    }
}
