package xenback.net.backend;

import java.util.ArrayList;
import java.util.List;
import xenback.xen.io.EventLoop;

/** One run of a case of the {@link UnitSuite}: gathers what is wrong, and goes on after it. One thread. */
final class Trial implements AutoCloseable {
    private final EventLoop loop;
    private final List<String> failures = new ArrayList<>();
    private final List<SuiteRig> rigs = new ArrayList<>();

    Trial(EventLoop loop) {
        this.loop = loop;
    }

    /** A fresh pair of rings whose counters all stand at {@code start}, for a guest that takes everything. */
    SuiteRig rig(int start) {
        return rig(start, new NetifParameters.Receives(true, true, true, true, true));
    }

    SuiteRig rig(int start, NetifParameters.Receives receives) {
        SuiteRig rig = new SuiteRig(loop, start, receives);
        rigs.add(rig);
        return rig;
    }

    void same(String what, long expected, long found) {
        that(what + " is " + found + ", not " + expected, expected == found);
    }

    void same(String what, Object expected, Object found) {
        that(what + " is " + found + ", not " + expected, expected.equals(found));
    }

    /** @param what is told if it does not hold */
    void that(String what, boolean holds) {
        if (!holds) {
            failures.add(what);
        }
    }

    List<String> failures() {
        return List.copyOf(failures);
    }

    @Override
    public void close() {
        rigs.forEach(SuiteRig::close);
    }
}
