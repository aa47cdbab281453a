package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.xen.bus.ModelBus.BACKEND;
import static xenback.xen.bus.ModelBus.FRONTEND;
import static xenback.xen.bus.ModelBus.SECOND;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * XSA-323 to 325, 330, 418, 420, 425, 440: odd inputs bring the store's daemon down. And XSA-326 and its kin, of which a backend
 * sees a store that refuses what it needs. What is connected goes on, and what has changed is done when the store is back.
 */
class Xsa323Test {
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

    @Test
    void goesOnServingWithoutAStore() {
        world.store.lose();
        for (int i = 0; i < 100; i++) {
            world.pass(SECOND);
        }
        assertThat(world.driver.last().connected).isTrue();
        assertThat(world.driver.calls).containsOnly("update");
    }

    @Test
    void doesWhatTheToolstackAskedForMeanwhile() throws XenException {
        world.store.lose();
        world.write(BACKEND + "/online", "0");
        world.remove(FRONTEND);
        world.rest();
        assertThat(world.driver.last().connected).isTrue();
        world.store.comeBack();
        world.rest();
        assertThat(world.state()).isEqualTo("6");
        assertThat(world.driver.holdsNothing()).isTrue();
    }

    @Test
    void findsTheDevicesThatCameMeanwhile() throws XenException {
        world.store.lose();
        world.remove(BACKEND);
        world.remove(FRONTEND);
        world.attach();
        world.store.comeBack();
        world.rest();
        assertThat(world.state()).isEqualTo("2");
        assertThat(world.driver.calls).containsExactly("disconnect", "close", "offer", "open");
    }

    /** A refusal is tried again after a while, and again after a longer one; each costs a few calls and one line. */
    @Test
    void triesAgainInLongerAndLongerTimes() throws XenException {
        world.write(BACKEND + "/online", "0");
        world.remove(FRONTEND);
        int before = world.store.calls();
        for (int i = 0; i < 8; i++) {
            world.store.fail(Errno.ENOMEM);
            world.rest();
            world.store.heal();
            world.store.fail(Errno.ENOMEM);
            world.pass(SECOND << Math.min(i, 5));
            assertThat(world.driver.last().connected).isTrue();
        }
        assertThat(world.store.calls() - before).isLessThan(60);
        world.store.heal();
        world.pass(32 * SECOND);
        assertThat(world.state()).isEqualTo("6");
    }
}
