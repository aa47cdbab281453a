package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.xen.bus.ModelBus.BACKEND;
import static xenback.xen.bus.ModelBus.SECOND;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import xenback.xen.Errno;
import xenback.xen.XenException;

/** When a driver is asked for new values of its nodes, and what becomes of them. */
class BackendUpdateTest {
    private ModelBus world;
    private ScriptedDriver driver;

    @BeforeEach
    void attach() throws XenException {
        world = new ModelBus();
        driver = world.driver;
        world.attach();
    }

    @AfterEach
    void close() {
        world.close();
    }

    private void connect() throws XenException {
        world.connect("7");
        driver.calls.clear();
    }

    private Optional<String> node(String key) {
        return world.model.value(BACKEND + "/" + key);
    }

    private static BackendDriver.Update update(String key, String value, boolean announce) {
        SequencedMap<String, String> nodes = new LinkedHashMap<>(Map.of(key, value));
        return new BackendDriver.Update(nodes, announce);
    }

    /** The backend's commits to a node, each as the state it came with or after. */
    private AtomicInteger countWrites(String node) {
        AtomicInteger count = new AtomicInteger();
        world.model.listen((client, before, changed) -> {
            if (client == world.store && changed.contains(BACKEND + "/" + node)) {
                count.incrementAndGet();
            }
        });
        return count;
    }

    @Test
    void asksOnceASecondWhileTheStoreIsOpen() throws XenException {
        driver.calls.clear();
        for (int second = 1; second <= 5; second++) {
            world.pass(SECOND);
            assertThat(driver.calls).hasSize(second).containsOnly("update");
        }
        for (int i = 0; i < 9; i++) {
            world.pass(SECOND / 10);
        }
        assertThat(driver.calls).hasSize(5);
        world.write(BACKEND + "/online", "0");
        world.rest();
        driver.calls.clear();
        world.pass(10 * SECOND);
        assertThat(driver.calls).isEmpty();
    }

    @Test
    void asksNoStoreThatCouldNotBeOpened() throws XenException {
        world.remove(BACKEND);
        world.rest();
        driver.storeTaken = true;
        world.attach();
        assertThat(node("store-status")).contains("error");
        driver.calls.clear();
        world.pass(10 * SECOND);
        assertThat(driver.calls).isEmpty();
    }

    @Test
    void looksIntoTheStoreForNoTickOfTheClock() throws XenException {
        connect();
        world.pass(3 * SECOND);
        int before = world.store.calls();
        world.pass(SECOND);
        assertThat(driver.calls).contains("update");
        assertThat(world.store.calls()).isEqualTo(before);
    }

    @Test
    void asksSoonAfterAChange() throws XenException {
        connect();
        driver.last().next = update("feature-flush-cache", "0", false);
        driver.last().ties.changed();
        driver.last().ties.changed();
        world.rest();
        assertThat(driver.calls).containsExactly("update");
        assertThat(node("feature-flush-cache")).contains("0");
    }

    @Test
    void publishesInOneTransactionAndWritesTheStateAgainIfAsked() throws XenException {
        connect();
        AtomicInteger states = countWrites("state");
        AtomicInteger sizes = countWrites("sectors");
        AtomicInteger both = new AtomicInteger();
        world.model.listen((client, before, changed) -> {
            if (changed.contains(BACKEND + "/state") && changed.contains(BACKEND + "/sectors")) {
                both.incrementAndGet();
            }
        });
        driver.sectors = 16;
        world.pass(SECOND);
        assertThat(node("sectors")).contains("16");
        assertThat(node("state")).contains("4");
        assertThat(states).hasValue(1);
        assertThat(sizes).hasValue(1);
        assertThat(both).hasValue(1);
        driver.last().next = update("sectors", "16", false);
        world.pass(SECOND);
        assertThat(states).hasValue(1);
        assertThat(sizes).hasValue(2);
    }

    @Test
    void publishesNothingUnlessConnected() throws XenException {
        driver.last().next = update("sectors", "1", true);
        world.pass(SECOND);
        assertThat(node("sectors")).isEmpty();
        assertThat(node("state")).contains("2");
        connect();
        assertThat(node("sectors")).contains("8");
        world.write(BACKEND + "/state", "5");
        driver.last().next = update("sectors", "1", true);
        world.pass(SECOND);
        assertThat(node("sectors")).contains("8");
        assertThat(node("state")).contains("5");
    }

    @Test
    void bringsNoRemovedDirectoryBack() throws XenException {
        connect();
        driver.last().next = update("sectors", "1", true);
        world.remove(BACKEND); // and the watch is late
        world.clock.advance(SECOND);
        world.pace.rest(100);
        assertThat(world.model.value(BACKEND)).isEmpty();
        world.rest();
        assertThat(world.model.value(BACKEND)).isEmpty();
        assertThat(driver.holdsNothing()).isTrue();
    }

    @Test
    void keepsWhatTheStoreRefusedUntilItIsPublished() throws XenException {
        connect();
        driver.last().next = update("feature-discard", "0", false);
        driver.last().ties.changed();
        world.store.fail(Errno.EIO);
        world.rest();
        assertThat(node("feature-discard")).isEmpty();
        driver.last().next = update("feature-barrier", "0", true);
        world.pass(SECOND);
        assertThat(node("feature-discard")).contains("0");
        assertThat(node("feature-barrier")).contains("0");
    }

    @Test
    void tellsAConnectionMadeSinceWithItsOwnNodes() throws XenException {
        connect();
        driver.last().next = update("sectors", "1", true);
        driver.last().ties.changed();
        world.store.fail(Errno.EIO);
        world.rest();
        world.frontend("1");
        driver.sectors = 24;
        connect();
        world.pass(SECOND);
        assertThat(node("sectors")).contains("24");
    }
}
