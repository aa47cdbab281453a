package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SequencedMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.store.StorePath;

/** When a driver is asked for new values of its nodes, and what becomes of them. */
class BackendUpdateTest {
    private static final String BACKEND = "/local/domain/0/backend/vbd/1/51712";
    private static final String FRONTEND = "/local/domain/1/device/vbd/51712";
    private static final long SECOND = Duration.ofSeconds(1).toNanos();

    private final SteppedPace.Clock clock = new SteppedPace.Clock();
    private final SteppedPace pace = new SteppedPace(clock);
    private final StoreModel model = new StoreModel();
    private final StoreModel.Client store = model.connect("backend");
    private final StoreModel.Client toolstack = model.connect("toolstack");
    private final ScriptedDriver driver = new ScriptedDriver(store);
    private BackendBus bus;

    @BeforeEach
    void attach() throws XenException {
        write(FRONTEND + "/state", "1");
        write(BACKEND + "/frontend", FRONTEND);
        write(BACKEND + "/frontend-id", "1");
        write(BACKEND + "/online", "1");
        write(BACKEND + "/state", "1");
        bus = BackendBus.start(store, 0, "vbd", driver, pace);
        rest();
    }

    @AfterEach
    void close() {
        bus.close();
        assertThat(driver.faults).isEmpty();
        assertThat(driver.holdsNothing()).isTrue();
    }

    private void write(String path, String value) throws XenException {
        toolstack.write(StorePath.of(path), value);
    }

    private void rest() {
        do {
            store.deliverAll();
        } while (pace.rest(100) > 0 || !store.firing().isEmpty());
    }

    private void pass(long nanos) {
        clock.advance(nanos);
        rest();
    }

    private void connect() throws XenException {
        write(BACKEND + "/hotplug-status", "connected");
        write(FRONTEND + "/ring-ref", "7");
        write(FRONTEND + "/state", "3");
        rest();
        assertThat(model.value(BACKEND + "/state")).contains("4");
        write(FRONTEND + "/state", "4");
        rest();
        driver.calls.clear();
    }

    private static BackendDriver.Update update(String key, String value, boolean announce) {
        SequencedMap<String, String> nodes = new LinkedHashMap<>(Map.of(key, value));
        return new BackendDriver.Update(nodes, announce);
    }

    /** The backend's commits to a node, each as the state it came with or after. */
    private AtomicInteger countWrites(String node) {
        AtomicInteger count = new AtomicInteger();
        model.listen((client, before, changed) -> {
            if (client == store && changed.contains(BACKEND + "/" + node)) {
                count.incrementAndGet();
            }
        });
        return count;
    }

    @Test
    void asksOnceASecondWhileTheStoreIsOpen() throws XenException {
        driver.calls.clear();
        for (int second = 1; second <= 5; second++) {
            pass(SECOND);
            assertThat(driver.calls).hasSize(second).containsOnly("update");
        }
        for (int i = 0; i < 9; i++) {
            pass(SECOND / 10);
        }
        assertThat(driver.calls).hasSize(5);
        write(BACKEND + "/online", "0");
        rest();
        driver.calls.clear();
        pass(10 * SECOND);
        assertThat(driver.calls).isEmpty();
    }

    @Test
    void asksNoStoreThatCouldNotBeOpened() throws XenException {
        bus.close();
        driver.storeTaken = true;
        write(BACKEND + "/state", "1");
        bus = BackendBus.start(store, 0, "vbd", driver, pace);
        rest();
        assertThat(model.value(BACKEND + "/store-status")).contains("error");
        driver.calls.clear();
        pass(10 * SECOND);
        assertThat(driver.calls).isEmpty();
    }

    @Test
    void looksIntoTheStoreForNoTickOfTheClock() throws XenException {
        connect();
        pass(3 * SECOND);
        int before = store.calls();
        pass(SECOND);
        assertThat(driver.calls).contains("update");
        assertThat(store.calls()).isEqualTo(before);
    }

    @Test
    void asksSoonAfterAChange() throws XenException {
        connect();
        driver.last().next = update("feature-flush-cache", "0", false);
        driver.last().ties.changed();
        driver.last().ties.changed();
        rest();
        assertThat(driver.calls).containsExactly("update");
        assertThat(model.value(BACKEND + "/feature-flush-cache")).contains("0");
    }

    @Test
    void publishesInOneTransactionAndWritesTheStateAgainIfAsked() throws XenException {
        connect();
        AtomicInteger states = countWrites("state");
        AtomicInteger sizes = countWrites("sectors");
        AtomicInteger both = new AtomicInteger();
        model.listen((client, before, changed) -> {
            if (changed.contains(BACKEND + "/state") && changed.contains(BACKEND + "/sectors")) {
                both.incrementAndGet();
            }
        });
        driver.sectors = 16;
        pass(SECOND);
        assertThat(model.value(BACKEND + "/sectors")).contains("16");
        assertThat(model.value(BACKEND + "/state")).contains("4");
        assertThat(states).hasValue(1);
        assertThat(sizes).hasValue(1);
        assertThat(both).hasValue(1);
        driver.last().next = update("sectors", "16", false);
        pass(SECOND);
        assertThat(states).hasValue(1);
        assertThat(sizes).hasValue(2);
    }

    @Test
    void publishesNothingUnlessConnected() throws XenException {
        driver.last().next = update("sectors", "1", true);
        pass(SECOND);
        assertThat(model.value(BACKEND + "/sectors")).isEmpty();
        assertThat(model.value(BACKEND + "/state")).contains("2");
        connect();
        assertThat(model.value(BACKEND + "/sectors")).contains("8");
        write(BACKEND + "/state", "5");
        driver.last().next = update("sectors", "1", true);
        pass(SECOND);
        assertThat(model.value(BACKEND + "/sectors")).contains("8");
        assertThat(model.value(BACKEND + "/state")).contains("5");
    }

    @Test
    void bringsNoRemovedDirectoryBack() throws XenException {
        connect();
        driver.last().next = update("sectors", "1", true);
        toolstack.remove(StorePath.of(BACKEND)); // and the watch is late
        clock.advance(SECOND);
        pace.rest(100);
        assertThat(model.value(BACKEND)).isEmpty();
        rest();
        assertThat(model.value(BACKEND)).isEmpty();
        assertThat(driver.holdsNothing()).isTrue();
    }

    @Test
    void keepsWhatTheStoreRefusedUntilItIsPublished() throws XenException {
        connect();
        driver.last().next = update("feature-discard", "0", false);
        driver.last().ties.changed();
        store.fail(Errno.EIO);
        rest();
        assertThat(model.value(BACKEND + "/feature-discard")).isEmpty();
        driver.last().next = update("feature-barrier", "0", true);
        pass(SECOND);
        assertThat(model.value(BACKEND + "/feature-discard")).contains("0");
        assertThat(model.value(BACKEND + "/feature-barrier")).contains("0");
    }

    @Test
    void tellsAConnectionMadeSinceWithItsOwnNodes() throws XenException {
        connect();
        driver.last().next = update("sectors", "1", true);
        driver.last().ties.changed();
        store.fail(Errno.EIO);
        rest();
        write(FRONTEND + "/state", "1");
        rest();
        driver.sectors = 24;
        connect();
        pass(SECOND);
        assertThat(model.value(BACKEND + "/sectors")).contains("24");
    }
}
