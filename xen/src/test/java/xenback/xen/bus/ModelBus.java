package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import xenback.xen.XenException;
import xenback.xen.store.StorePath;

/** A bus with one device on a {@link StoreModel}, and a test in the place of the toolstack, the guest and the clock. */
final class ModelBus implements AutoCloseable {
    static final String BACKEND = "/local/domain/0/backend/vbd/1/51712";
    static final String FRONTEND = "/local/domain/1/device/vbd/51712";
    static final long SECOND = Duration.ofSeconds(1).toNanos();

    final SteppedPace.Clock clock = new SteppedPace.Clock();
    final SteppedPace pace = new SteppedPace(clock);
    final StoreModel model = new StoreModel();
    StoreModel.Client store = model.connect("backend");
    final StoreModel.Client others = model.connect("others");
    final ScriptedDriver driver = new ScriptedDriver(store);
    BackendBus bus;

    /** Starts a bus of domain 0 over a store without devices. */
    ModelBus() throws XenException {
        bus = BackendBus.start(store, 0, "vbd", driver, pace);
        rest();
    }

    /** What the toolstack writes. */
    void attach() throws XenException {
        others.transaction(access -> {
            access.write(StorePath.of(FRONTEND + "/backend"), BACKEND);
            access.write(StorePath.of(FRONTEND + "/state"), "1");
            access.write(StorePath.of(BACKEND + "/frontend"), FRONTEND);
            access.write(StorePath.of(BACKEND + "/frontend-id"), "1");
            access.write(StorePath.of(BACKEND + "/online"), "1");
            access.write(StorePath.of(BACKEND + "/state"), "1");
            return true;
        });
        rest();
    }

    /** A backend that died and left everything as it is, and the next one. */
    void killAndRestart() throws XenException {
        pace.kill();
        store.kill();
        driver.instances.clear();
        store = model.connect("backend again");
        driver.store = store;
        bus = BackendBus.start(store, 0, "vbd", driver, pace);
        rest();
    }

    void detach() throws XenException {
        others.transaction(access -> {
            access.write(StorePath.of(BACKEND + "/online"), "0");
            access.write(StorePath.of(BACKEND + "/state"), "5");
            return true;
        });
        rest();
    }

    /** The whole way from 2 to both ends at 4, over the ring of that number. */
    void connect(String ring) throws XenException {
        write(BACKEND + "/hotplug-status", "connected");
        write(FRONTEND + "/ring-ref", ring);
        frontend("3");
        assertThat(state()).isEqualTo("4");
        frontend("4");
    }

    void frontend(String state) throws XenException {
        write(FRONTEND + "/state", state);
        rest();
    }

    /** Writes without giving anybody the time to look. */
    void write(String path, String value) throws XenException {
        others.write(StorePath.of(path), value);
    }

    void remove(String path) throws XenException {
        others.remove(StorePath.of(path));
    }

    String state() {
        return model.value(BACKEND + "/state").orElse("gone");
    }

    /** Everybody looks until nobody has anything to do. */
    void rest() {
        do {
            store.deliverAll();
        } while (pace.rest(100) > 0 || !store.firing().isEmpty());
    }

    void pass(long nanos) {
        clock.advance(nanos);
        rest();
    }

    /** Ends the bus; the driver must have nothing to complain of, and nothing may be held. */
    @Override
    public void close() {
        bus.close();
        assertThat(driver.faults).isEmpty();
        assertThat(driver.holdsNothing()).isTrue();
    }
}
