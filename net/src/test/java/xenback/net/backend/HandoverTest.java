package xenback.net.backend;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.Test;
import xenback.net.link.VnetHeader;
import xenback.xen.io.EventLoop;

/** Frames that another queue hands over while this one has frames that the guest has no room for. */
final class HandoverTest {
    private static final int FRAME_BYTES = 60;

    @Test
    void areNotForgottenWhenTheGuestTakesAllThatWaited() throws Exception {
        try (EventLoop loop = EventLoop.start("handover-test");
                Arena arena = Arena.ofConfined();
                SuiteRig rig = new SuiteRig(loop, 0, new NetifParameters.Receives(true, true, true, true, true))) {
            FrameHandover handover = new FrameHandover(arena);
            rig.receive().steer(List.of(), 0, handover);
            MemorySegment frame = arena.allocate(VnetHeader.BYTES + FRAME_BYTES, 8);
            int given = 0;
            for (int sweep = 0; sweep < 2; sweep++) { // the last ones stay in the handover
                while (handover.offer(frame, 0, VnetHeader.BYTES + FRAME_BYTES)) {
                    given++;
                }
                rig.sweepRxAlone();
            }
            int waiting = given / 2;
            post(rig, 0, waiting);
            assertThat(rig.rxAnswered()).isEqualTo(waiting);
            assertThat(rig.receive().isStarved()).as("there is more to do").isTrue();
            post(rig, waiting, given);
            assertThat(rig.rxAnswered()).isEqualTo(given);
            assertThat(rig.receive().isStarved()).isFalse();
            assertThat(rig.receive().mayHaveFrames()).isFalse();
        }
    }

    /** The guest posts some requests, and a sweep follows. */
    private static void post(SuiteRig rig, int from, int to) {
        for (int i = from; i < to; i++) {
            rig.rx(i, i + 1);
        }
        rig.sweepRxAlone();
    }
}
