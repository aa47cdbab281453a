package xenback.stress;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.ZZ_Result;

/**
 * One end publishes while the other goes to sleep: an event is sent or the last look finds what was published, or both. With
 * neither it would lie there. Each end writes one counter and then reads the other's, so each needs its full fence.
 */
public final class HoldOffStress {
    private HoldOffStress() {}

    /** req_prod against req_event. */
    @JCStressTest
    @Outcome(id = "true, false", expect = ACCEPTABLE, desc = "notified")
    @Outcome(id = "false, true", expect = ACCEPTABLE, desc = "found")
    @Outcome(id = "true, true", expect = ACCEPTABLE, desc = "both")
    @Outcome(id = "false, false", expect = FORBIDDEN, desc = "a request that nobody looks for")
    @State
    public static class Request {
        private final Ring ring = new Ring();

        public Request() {
            ring.passOne(1);
            ring.putRequest(2);
        }

        @Actor
        public void front(ZZ_Result seen) {
            seen.r1 = ring.front.push();
        }

        @Actor
        public void back(ZZ_Result seen) {
            seen.r2 = ring.back.rearm();
        }
    }

    /** rsp_prod against rsp_event. */
    @JCStressTest
    @Outcome(id = "true, false", expect = ACCEPTABLE, desc = "notified")
    @Outcome(id = "false, true", expect = ACCEPTABLE, desc = "found")
    @Outcome(id = "true, true", expect = ACCEPTABLE, desc = "both")
    @Outcome(id = "false, false", expect = FORBIDDEN, desc = "a response that nobody looks for")
    @State
    public static class Response {
        private final Ring ring = new Ring();

        public Response() {
            ring.passOne(1);
            ring.putRequest(2);
            ring.front.push();
            ring.takeRequest();
            ring.putResponse(2);
        }

        @Actor
        public void back(ZZ_Result seen) {
            seen.r1 = ring.back.push();
        }

        @Actor
        public void front(ZZ_Result seen) {
            seen.r2 = ring.front.rearm();
        }
    }
}
