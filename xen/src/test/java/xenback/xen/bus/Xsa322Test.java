package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.xen.bus.ModelBus.BACKEND;
import static xenback.xen.bus.ModelBus.FRONTEND;

import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import xenback.xen.XenException;
import xenback.xen.store.StorePath;

/**
 * XSA-322 and its kin (XSA-115, XSA-353): a domid comes again, and nodes of the domain that had it before are still there. A
 * device is served only if its directory, its path and its frontend name each other.
 */
class Xsa322Test {
    private ModelBus world;

    @BeforeEach
    void start() throws XenException {
        world = new ModelBus();
    }

    @AfterEach
    void close() {
        world.close();
    }

    private void attach(String frontend, String frontendDomid) throws XenException {
        world.others.transaction(access -> {
            access.write(StorePath.of(FRONTEND + "/backend"), BACKEND);
            access.write(StorePath.of(FRONTEND + "/state"), "1");
            access.write(StorePath.of(BACKEND + "/frontend"), frontend);
            access.write(StorePath.of(BACKEND + "/frontend-id"), frontendDomid);
            access.write(StorePath.of(BACKEND + "/online"), "1");
            access.write(StorePath.of(BACKEND + "/state"), "1");
            return true;
        });
        world.rest();
    }

    private void assertRefused(String what) throws XenException {
        assertThat(world.driver.calls).as(what).isEmpty();
        assertThat(world.state()).as(what).isEqualTo("6");
        assertThat(world.model.value(BACKEND + "/hotplug-error")).as(what).isPresent();
        world.remove(BACKEND);
        world.remove(FRONTEND);
        world.rest();
        assertThat(world.model.pathsBelow("/local/domain/0/error")).as(what).isEmpty();
    }

    @Test
    void servesNoFrontendOutsideOfTheGuestsHome() throws XenException {
        for (String frontend : List.of(
                "/local/domain/2/device/vbd/51712",
                "/local/domain/11/device/vbd/51712",
                "/local/domain/1",
                "/local/domain/1/",
                "/local/domain/1//device",
                "device/vbd/51712",
                "/",
                "/local/domain/1/../2/device/vbd/51712",
                "/local/domain/1/" + "x".repeat(4000))) {
            attach(frontend, "1");
            assertRefused("frontend " + frontend);
        }
    }

    @Test
    void servesNoDeviceOfAnotherDomid() throws XenException {
        for (String domid : List.of("2", "0", "-1", "01", "1 ", "4294967297", "one")) {
            attach(FRONTEND, domid);
            assertRefused("frontend-id " + domid);
        }
    }

    @Test
    void connectsToNoFrontendThatNamesAnotherBackend() throws XenException {
        for (String backend :
                List.of("/local/domain/5/backend/vbd/1/51712", "/local/domain/0/backend/vbd/7/51712", "")) {
            world.attach();
            world.write(FRONTEND + "/backend", backend);
            world.write(BACKEND + "/hotplug-status", "connected");
            world.write(FRONTEND + "/ring-ref", "7");
            world.frontend("3");
            assertThat(world.driver.calls).doesNotContain("connect");
            assertThat(world.state()).isEqualTo("5");
            world.remove(BACKEND);
            world.remove(FRONTEND);
            world.rest();
        }
    }

    @Test
    void servesADeviceWhoseNodesAreMended() throws XenException {
        attach(FRONTEND, "2");
        assertThat(world.state()).isEqualTo("6");
        world.write(BACKEND + "/frontend-id", "1");
        world.rest();
        assertThat(world.state()).isEqualTo("2");
        world.connect("7");
        assertThat(world.driver.last().connected).isTrue();
    }

    @Test
    void waitsForADirectoryThatIsWrittenNodeByNode() throws XenException {
        for (String[] node : new String[][] {
            {FRONTEND + "/backend", BACKEND},
            {FRONTEND + "/state", "1"},
            {BACKEND + "/state", "1"},
            {BACKEND + "/online", "1"},
            {BACKEND + "/frontend", FRONTEND},
        }) {
            world.write(node[0], node[1]);
            world.rest();
            assertThat(world.driver.calls).isEmpty();
        }
        world.write(BACKEND + "/frontend-id", "1");
        world.rest();
        assertThat(world.driver.calls).containsExactly("attach", "offer", "open");
    }
}
