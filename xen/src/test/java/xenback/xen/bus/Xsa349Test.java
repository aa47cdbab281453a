package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.xen.bus.ModelBus.FRONTEND;

import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import xenback.xen.XenException;

/**
 * XSA-349: a guest writes a watched node faster than the backend looks. What waits is one look, however often it wrote; and
 * what the toolstack wants is done in the middle of it.
 */
class Xsa349Test {
    private static final int WRITES = 100_000;

    /** Two looks of a connected device and some room; the number of writes is not in it. */
    private static final int CALLS_OF_A_FEW_LOOKS = 100;

    private ModelBus world;

    @BeforeEach
    void connect() throws XenException {
        world = new ModelBus();
        world.attach();
        world.connect("7");
        world.driver.calls.clear();
    }

    @AfterEach
    void close() {
        world.close();
    }

    private int callsOf(Storm storm) throws XenException {
        int before = world.store.calls();
        storm.blow();
        world.rest();
        return world.store.calls() - before;
    }

    private interface Storm {
        void blow() throws XenException;
    }

    @Test
    void looksOnceForAHundredThousandWritesOfTheSame() throws XenException {
        int calls = callsOf(() -> {
            for (int i = 0; i < WRITES; i++) {
                world.write(FRONTEND + "/state", "4");
            }
        });
        assertThat(calls).isLessThan(CALLS_OF_A_FEW_LOOKS);
        assertThat(world.driver.calls).isEmpty();
    }

    @Test
    void seesOnlyTheLastOfAHundredThousandStates() throws XenException {
        int calls = callsOf(() -> {
            for (int i = 0; i < WRITES; i++) {
                world.write(FRONTEND + "/state", Integer.toString(i % 9));
            }
            world.write(FRONTEND + "/state", "6");
        });
        assertThat(calls).isLessThan(CALLS_OF_A_FEW_LOOKS);
        assertThat(world.driver.calls).containsExactly("disconnect");
        assertThat(world.state()).isEqualTo("6");
    }

    /** In one transaction with our nodes, the guest's would make every attempt fail. */
    @Test
    void letsGoWhenTheToolstackAsksWhileTheGuestKeepsWriting() throws XenException {
        AtomicInteger closedAt = new AtomicInteger();
        world.model.listen((client, before, changed) -> {
            if (world.state().equals("6")) {
                closedAt.compareAndSet(0, world.store.calls());
            }
        });
        for (int call = 1; call < 1000; call++) {
            world.store.amid(call, this::guestWrites);
        }
        int asked = world.store.calls();
        world.write(ModelBus.BACKEND + "/online", "0");
        world.remove(FRONTEND);
        world.rest();
        assertThat(closedAt.get() - asked).isBetween(1, CALLS_OF_A_FEW_LOOKS);
        assertThat(world.driver.holdsNothing()).isTrue();
    }

    private void guestWrites() {
        try {
            world.write("/local/domain/1/device/vbd/51712/noise", "4");
            world.write(FRONTEND + "/state", "9");
        } catch (XenException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void takesNodesOfTwoKilobytesAndRemovedOnesForAFrontendThatIsGone() throws XenException {
        for (String value : List.of("4".repeat(2000), "", "\0", "nine")) {
            world.frontend(value);
            assertThat(world.state()).isEqualTo("6");
            world.frontend("1");
            world.connect("7");
        }
        world.remove(FRONTEND);
        world.rest();
        assertThat(world.state()).isEqualTo("6");
        world.write(FRONTEND + "/backend", ModelBus.BACKEND);
        world.frontend("1");
        world.connect("8");
        assertThat(world.driver.last().connected).isTrue();
    }
}
