package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.xen.bus.ModelBus.FRONTEND;
import static xenback.xen.bus.ModelBus.SECOND;

import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import xenback.xen.XenException;

/** A frontend makes new rings, and the backend sees more or less of how it came to that. */
class BackendReconnectTest {
    private static final List<String> ANEW = List.of("disconnect", "offer", "connect", "published");

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

    private List<String> calls() {
        return world.driver.calls.stream()
                .filter(call -> !call.equals("update"))
                .toList();
    }

    @Test
    void connectsAnewWhenTheFrontendIsAtThreeAgain() throws XenException {
        world.write(FRONTEND + "/ring-ref", "8");
        world.frontend("3");
        assertThat(calls()).isEqualTo(ANEW);
        assertThat(world.state()).isEqualTo("4");
        assertThat(world.driver.last().ring).isEqualTo("8");
        world.frontend("4");
        world.pass(5 * SECOND);
        assertThat(calls()).isEqualTo(ANEW);
    }

    /** A ring may well get the numbers of the one before it. */
    @Test
    void connectsAnewToARingOfTheSameNumber() throws XenException {
        world.frontend("3");
        assertThat(calls()).isEqualTo(ANEW);
    }

    /** From 3 to 4, some requests, and back to 3 with a new ring, before the backend looked. */
    @Test
    void connectsAnewWhenItHasNotSeenTheFour() throws XenException {
        world.frontend("1");
        world.write(FRONTEND + "/ring-ref", "8");
        world.frontend("3");
        world.driver.calls.clear();
        world.write(FRONTEND + "/state", "4");
        world.write(FRONTEND + "/ring-ref", "9");
        world.frontend("3");
        assertThat(calls()).isEqualTo(ANEW);
        assertThat(world.driver.last().ring).isEqualTo("9");
    }

    /** blkfront finds the old 4 of its backend and goes from 3 to 4 at once. */
    @Test
    void connectsAnewWhenItHasNotSeenTheThree() throws XenException {
        world.write(FRONTEND + "/ring-ref", "8");
        world.write(FRONTEND + "/state", "3");
        world.frontend("4");
        assertThat(calls()).isEmpty();
        world.pass(SECOND);
        assertThat(calls()).isEqualTo(ANEW);
        assertThat(world.driver.last().ring).isEqualTo("8");
    }

    /** Whoever looks while the frontend writes its nodes must not connect to what it will say 3 for in a moment. */
    @Test
    void connectsOnceToNodesThatItSawBeforeTheState() throws XenException {
        world.write(FRONTEND + "/ring-ref", "8");
        world.frontend("4");
        world.pass(SECOND / 2);
        assertThat(calls()).isEmpty();
        world.frontend("3");
        world.frontend("4");
        world.pass(5 * SECOND);
        assertThat(calls()).isEqualTo(ANEW);
    }

    @Test
    void takesNodesThatAreNoneForNoNewRings() throws XenException {
        world.remove(FRONTEND + "/ring-ref");
        world.frontend("4");
        world.pass(5 * SECOND);
        assertThat(calls()).isEmpty();
        assertThat(world.state()).isEqualTo("4");
    }
}
