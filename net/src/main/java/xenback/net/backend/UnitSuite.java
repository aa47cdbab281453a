package xenback.net.backend;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import xenback.xen.XenException;
import xenback.xen.io.EventLoop;

/**
 * The self-tests of xnb(4) under their names, with what they were meant to check, and more of the kind for IPv6, fragments,
 * VLANs and hostile guests. They run the code that serves guests, on rings and pages of their own: without a hypervisor and
 * without touching an interface, so that they can be run in a daemon at work ({@code sysctl dev.xnb.0.unit_test_results}).
 */
public final class UnitSuite {
    /** What a case checks; it says so to the trial. */
    @FunctionalInterface
    interface Body {
        void run(Trial trial) throws XenException;
    }

    record Case(String name, Body body) {}

    /**
     * What became of a case.
     *
     * @param failures what was not as it should be; empty if it passed
     */
    public record Result(String name, List<String> failures) {
        public boolean passed() {
            return failures.isEmpty();
        }
    }

    private static final List<Case> CASES = Stream.of(
                    SuitePackets.cases(), SuiteTransmit.cases(), SuiteReceive.cases(), SuiteChecksums.cases())
            .flatMap(List::stream)
            .toList();

    private UnitSuite() {}

    /** The names of all cases, in order. */
    public static List<String> names() {
        return CASES.stream().map(Case::name).toList();
    }

    /** Runs all cases. Any thread, also several at once. */
    public static List<Result> run() throws XenException {
        return run(names());
    }

    /** Runs the cases of these names. */
    public static List<Result> run(List<String> names) throws XenException {
        List<Result> results = new ArrayList<>();
        try (EventLoop loop = EventLoop.start("unit-suite", EventLoop.Engine.THREADS)) {
            for (Case each : CASES) {
                if (names.contains(each.name())) {
                    results.add(new Result(each.name(), failures(each, loop)));
                }
            }
        }
        return results;
    }

    private static List<String> failures(Case each, EventLoop loop) {
        try (Trial trial = new Trial(loop)) {
            try {
                each.body().run(trial);
            } catch (XenException | RuntimeException e) {
                trial.that(e.toString(), false);
            }
            return trial.failures();
        }
    }

    /** A line per case, and at the end how many passed and failed. */
    public static String report(List<Result> results) {
        StringBuilder text = new StringBuilder();
        for (Result result : results) {
            text.append(result.name())
                    .append(result.passed() ? ": passed" : ": FAILED: " + String.join("; ", result.failures()))
                    .append('\n');
        }
        long passed = results.stream().filter(Result::passed).count();
        text.append(passed).append(" Tests Passed\n");
        if (passed < results.size()) {
            text.append(results.size() - passed).append(" Tests FAILED\n");
        }
        return text.toString();
    }
}
