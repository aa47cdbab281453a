package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.xen.bus.ModelBus.BACKEND;
import static xenback.xen.bus.ModelBus.SECOND;

import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import xenback.xen.Errno;
import xenback.xen.XenException;

/** The error node: it is there while what it says is so, and leaves nothing behind. */
class BackendErrorTest {
    private static final String ERRORS = "/local/domain/0/error";
    private static final String ERROR = ERRORS + "/backend/vbd/1/51712/error";

    private ModelBus world;

    @BeforeEach
    void start() throws XenException {
        world = new ModelBus();
        world.write(ERRORS, "");
    }

    @AfterEach
    void close() {
        world.close();
    }

    private Optional<String> error() {
        return world.model.value(ERROR);
    }

    private void assertNothingIsLeft() {
        assertThat(world.model.pathsBelow(ERRORS)).isEmpty();
        assertThat(world.model.value(ERRORS)).isPresent();
    }

    @Test
    void saysWhyTheStoreCannotBeOpenedUntilTheDeviceIsGone() throws XenException {
        world.driver.storeTaken = true;
        world.attach();
        assertThat(error()).contains("the store is in use");
        assertThat(world.model.value(BACKEND + "/hotplug-error")).contains("the store is in use");
        world.pass(10 * SECOND);
        assertThat(error()).isPresent();
        world.remove(BACKEND);
        world.rest();
        assertNothingIsLeft();
    }

    @Test
    void saysWhyUntilTheStoreIsOpened() throws XenException {
        world.driver.storeTaken = true;
        world.attach();
        world.driver.storeTaken = false;
        world.write(BACKEND + "/state", "1"); // attached anew
        world.rest();
        assertThat(world.model.value(BACKEND + "/store-status")).contains("open");
        assertNothingIsLeft();
    }

    @Test
    void saysWhyAConnectionFailedUntilOneSucceeds() throws XenException {
        world.attach();
        world.driver.connects = false;
        world.write(BACKEND + "/hotplug-status", "connected");
        world.frontend("3");
        assertThat(world.state()).isEqualTo("5");
        assertThat(error()).contains("ring-ref is no grant");
        world.driver.connects = true;
        world.frontend("1");
        assertThat(error()).isPresent();
        world.connect("7");
        assertNothingIsLeft();
    }

    @Test
    void saysWhyARingBrokeUntilTheNextOne() throws XenException {
        world.attach();
        world.connect("7");
        world.driver.last().ties.broken("the ring is broken");
        world.rest();
        assertThat(error()).contains("the ring is broken");
        world.frontend("1");
        world.connect("8");
        assertNothingIsLeft();
    }

    @Test
    void leavesTheErrorsOfOtherDevices() throws XenException {
        world.driver.storeTaken = true;
        world.attach();
        world.write(ERRORS + "/backend/vbd/1/51728/error", "another's");
        world.write(ERRORS + "/device/vif/0/error", "a frontend's");
        world.remove(BACKEND);
        world.rest();
        assertThat(error()).isEmpty();
        assertThat(world.model.value(ERRORS + "/backend/vbd/1/51712")).isEmpty();
        assertThat(world.model.value(ERRORS + "/backend/vbd/1/51728/error")).isPresent();
        assertThat(world.model.value(ERRORS + "/device/vif/0/error")).isPresent();
    }

    @Test
    void removesWhatAProcessBeforeItLeft() throws XenException {
        world.bus.close();
        world.write(ERROR, "of a device that is gone");
        world.bus = BackendBus.start(world.store, 0, "vbd", world.driver, world.pace);
        world.rest();
        assertNothingIsLeft();
        world.bus.close();
        world.write(ERROR, "of a device that opens now");
        world.attach();
        world.bus = BackendBus.start(world.store, 0, "vbd", world.driver, world.pace);
        world.rest();
        assertNothingIsLeft();
    }

    /** The quota of a driver domain may have no room for the words; the device goes its way. */
    @Test
    void closesADeviceWhoseErrorFindsNoRoom() throws XenException {
        world.attach();
        world.driver.connects = false;
        world.write(BACKEND + "/hotplug-status", "connected");
        world.rest();
        world.store.refuseWriting(ERROR);
        world.frontend("3");
        assertThat(error()).isEmpty();
        assertThat(world.state()).isEqualTo("5");
    }

    @Test
    void triesAgainToRemoveWhenTheStoreRefuses() throws XenException {
        world.driver.storeTaken = true;
        world.attach();
        world.remove(BACKEND);
        world.store.amid(5, () -> world.store.fail(Errno.EIO, Errno.EIO));
        world.rest();
        world.pass(SECOND);
        world.pass(2 * SECOND);
        assertNothingIsLeft();
    }
}
