package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import xenback.xen.Errno;
import xenback.xen.store.StorePath;

/** A frontend whose store refuses a call does the rest later, and nothing twice. */
class FrontendRetryTest {
    private static final String BACKEND = "/local/domain/0/backend/vbd/1/51712";
    private static final String FRONTEND = "/local/domain/1/device/vbd/51712";

    /** From a turn's begin to the transaction that writes the 4: the look before it has four calls. */
    private static final int CALLS_TO_THE_FOUR = 5;

    private final SteppedPace.Clock clock = new SteppedPace.Clock();
    private final SteppedPace pace = new SteppedPace(clock);
    private final StoreModel model = new StoreModel();
    private final StoreModel.Client guest = model.connect("guest");
    private final StoreModel.Client others = model.connect("others");

    @Test
    void attachesOnceThoughItsFourCouldNotBeWritten() throws Exception {
        others.write(StorePath.of(FRONTEND + "/backend"), BACKEND);
        others.write(StorePath.of(FRONTEND + "/backend-id"), "0");
        others.write(StorePath.of(FRONTEND + "/state"), "1");
        others.write(StorePath.of(BACKEND + "/state"), "2");
        ScriptedFrontend frontend = new ScriptedFrontend(() -> 1, ring -> false);
        FrontendDevice.start(guest, StorePath.of(FRONTEND), frontend, pace);
        rest();
        others.write(StorePath.of(BACKEND + "/state"), "4");
        guest.deliverAll();
        guest.amid(CALLS_TO_THE_FOUR, () -> guest.fail(Errno.EIO));

        rest();
        assertThat(model.value(FRONTEND + "/state")).hasValue("3");
        clock.advance(1_000_000_000);
        rest();

        assertThat(model.value(FRONTEND + "/state")).hasValue("4");
        assertThat(frontend.faults).isEmpty();
    }

    private void rest() {
        do {
            guest.deliverAll();
        } while (pace.rest(100) > 0 || !guest.firing().isEmpty());
    }
}
