package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.xen.bus.ModelBus.FRONTEND;

import java.util.Random;
import org.junit.jupiter.api.Test;
import xenback.xen.XenException;

/** XSA-350: a frontend that toggles between connected and not, quickly, meets sessions that begin and end in order. */
class Xsa350Test {
    private static final String[] STATES = {"1", "3", "4", "5", "6"};

    @Test
    void beginsAndEndsSessionsInOrderHoweverTheFrontendToggles() throws XenException {
        Random random = new Random(350);
        try (ModelBus world = new ModelBus()) {
            world.attach();
            world.write(ModelBus.BACKEND + "/hotplug-status", "connected");
            for (int i = 0; i < 10_000; i++) {
                if (random.nextInt(4) == 0) {
                    world.write(FRONTEND + "/ring-ref", Integer.toString(i));
                }
                String state = STATES[random.nextInt(STATES.length)];
                if (random.nextBoolean()) {
                    world.frontend(state);
                } else {
                    world.write(FRONTEND + "/state", state); // and on, before anybody looks
                }
                world.driver.calls.clear();
            }
            world.frontend("6");
            assertThat(world.state()).isEqualTo("6");
            assertThat(world.driver.last().connected).isFalse();
        }
    }
}
