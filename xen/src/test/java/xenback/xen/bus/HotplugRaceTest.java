package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.xen.bus.ModelBus.BACKEND;
import static xenback.xen.bus.ModelBus.FRONTEND;
import static xenback.xen.bus.ModelBus.SECOND;

import org.junit.jupiter.api.Test;
import xenback.xen.XenException;

class HotplugRaceTest {
    private static final int CALLS_OF_A_CONNECTION = 40;

    /** A script that speaks after the second that a silent one is given, between any two calls of the backend. */
    @Test
    void aScriptThatFailsBeforeTheFourIsWrittenLeavesTheDeviceAtTwo() throws XenException {
        int inTime = 0;
        for (int call = 1; call <= CALLS_OF_A_CONNECTION; call++) {
            try (ModelBus world = new ModelBus()) {
                world.attach();
                world.write(FRONTEND + "/ring-ref", "7");
                world.frontend("3");
                String[] before = {world.state()};
                world.store.amid(call, () -> {
                    before[0] = world.state();
                    try {
                        world.write(BACKEND + "/hotplug-status", "error");
                    } catch (XenException e) {
                        throw new IllegalStateException(e);
                    }
                });
                world.pass(2 * SECOND);
                if (before[0].equals("2")) {
                    inTime++;
                    assertThat(world.state()).as("call %d", call).isEqualTo("2");
                }
            }
        }
        assertThat(inTime).isPositive();
    }
}
