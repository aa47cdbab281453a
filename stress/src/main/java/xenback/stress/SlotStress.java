package xenback.stress;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.I_Result;

/** A slot belongs to one end at a time: whoever sees the counter sees all of the slot, and nobody writes it too early. */
public final class SlotStress {
    private SlotStress() {}

    /** After req_prod the request is complete. */
    @JCStressTest
    @Outcome(id = "7", expect = ACCEPTABLE, desc = "the whole request")
    @Outcome(id = "0", expect = ACCEPTABLE, desc = "not published yet")
    @Outcome(expect = FORBIDDEN, desc = "published before it was written")
    @State
    public static class Request {
        private final Ring ring = new Ring();

        @Actor
        public void front() {
            ring.putRequest(7);
            ring.front.push();
        }

        @Actor
        public void back(I_Result taken) {
            taken.r1 = ring.takeRequest();
        }
    }

    /** After rsp_prod the response is complete. */
    @JCStressTest
    @Outcome(id = "9", expect = ACCEPTABLE, desc = "the whole response")
    @Outcome(id = "0", expect = ACCEPTABLE, desc = "not published yet")
    @Outcome(expect = FORBIDDEN, desc = "published before it was written")
    @State
    public static class Response {
        private final Ring ring = new Ring();

        public Response() {
            ring.putRequest(7);
            ring.front.push();
            ring.takeRequest();
        }

        @Actor
        public void back() {
            ring.putResponse(9);
            ring.back.push();
        }

        @Actor
        public void front(I_Result taken) {
            taken.r1 = ring.takeResponse();
        }
    }

    /** The frontend puts a request where a response was: the backend has copied its own request out before it answered. */
    @JCStressTest
    @Outcome(id = "7", expect = ACCEPTABLE, desc = "the request that was there")
    @Outcome(expect = FORBIDDEN, desc = "overwritten while it was read")
    @State
    public static class RequestUntilAnswered {
        private final Ring ring = new Ring();

        public RequestUntilAnswered() {
            for (int i = 0; i < Ring.SLOTS; i++) {
                ring.putRequest(7);
            }
            ring.front.push();
        }

        @Actor
        public void back(I_Result taken) {
            taken.r1 = ring.takeRequest();
            ring.putResponse(9);
            ring.back.push();
        }

        @Actor
        public void front() {
            if (ring.takeResponse() != Ring.NONE) {
                ring.putRequest(8);
                ring.front.push();
            }
        }
    }

    /** The backend puts the next response where one was only after the frontend has copied that out and asked anew. */
    @JCStressTest
    @Outcome(id = "9", expect = ACCEPTABLE, desc = "the response that was there")
    @Outcome(expect = FORBIDDEN, desc = "overwritten while it was read")
    @State
    public static class ResponseUntilReplaced {
        private final Ring ring = new Ring();

        public ResponseUntilReplaced() {
            for (int i = 0; i < Ring.SLOTS; i++) {
                ring.putRequest(7);
            }
            ring.front.push();
            for (int i = 0; i < Ring.SLOTS; i++) {
                ring.takeRequest();
            }
            ring.putResponse(9);
            ring.back.push();
        }

        @Actor
        public void front(I_Result taken) {
            taken.r1 = ring.takeResponse();
            ring.putRequest(8);
            ring.front.push();
        }

        @Actor
        public void back() {
            if (ring.takeRequest() != Ring.NONE) {
                for (int i = 0; i < Ring.SLOTS; i++) {
                    ring.putResponse(6);
                }
                ring.back.push();
            }
        }
    }
}
