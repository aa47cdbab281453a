package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.XenException;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.EmbeddedXen;
import xenback.xen.embedded.Toolstack;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;

/** A backend in a domain without privileges, on a real xenstored: what it may and may not write is the store's word. */
@Timeout(60)
class DriverDomainTest {
    private static final int STORAGE = 5;
    private static final int GUEST = 1;
    private static final StorePath BACKEND = StorePath.of("/local/domain/5/backend/vbd/1/51712");
    private static final StorePath ERRORS = StorePath.of("/local/domain/5/error");
    private static final Toolstack.Device DEVICE =
            new Toolstack.Device("vbd", "vbd", STORAGE, GUEST, 51712, new LinkedHashMap<>(), new LinkedHashMap<>());

    @TempDir
    private Path dir;

    private EmbeddedXen xen;
    private Toolstack toolstack;
    private Domain guest;
    private ScriptedDriver driver;
    private BackendBus bus;

    @BeforeEach
    void start() throws XenException {
        xen = EmbeddedXen.start(dir.resolve("run"));
        toolstack = new Toolstack(xen.domain0().store());
        Domain storage = xen.createDomain(STORAGE, 16);
        toolstack.createHome(STORAGE, "storage");
        guest = xen.createDomain(GUEST, 16);
        toolstack.createHome(GUEST, "guest");
        driver = new ScriptedDriver(storage.store());
        bus = BackendBus.start(storage, "vbd", driver);
    }

    @AfterEach
    void close() {
        bus.close();
        xen.close();
        assertThat(driver.faults).isEmpty();
    }

    private static void await(Callable<Boolean> condition, String what) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!condition.call()) {
            assertThat(System.nanoTime() - deadline)
                    .as("still waiting for " + what)
                    .isNegative();
            LockSupport.parkNanos(200_000);
        }
    }

    private String state() throws XenException {
        return xen.domain0().store().read(BACKEND.child("state")).orElse("gone");
    }

    @Test
    void writesItsErrorIntoItsHomeAndTakesItBack() throws Exception {
        driver.storeTaken = true;
        assertThatThrownBy(() -> toolstack.attach(DEVICE)).hasMessage("the store is in use");
        await(() -> xen.domain0().store().directory(ERRORS).isEmpty(), "the error to go with its device");
        assertThat(xen.domain0().store().exists(ERRORS)).isTrue();
    }

    /** libxl in domain 0 waits for that: nobody else does it here. */
    @Test
    void removesItsDirectoryAtTheEnd() throws Exception {
        toolstack.attach(DEVICE);
        xen.domain0().store().transaction(access -> {
            access.write(BACKEND.child("online"), "0");
            access.write(BACKEND.child("state"), "5");
            return true;
        });
        await(() -> state().equals("6"), "state 6");
        await(() -> state().equals("gone"), "the directory to go");
    }

    /** So libxl ends a disk of the kind qdisk whose guest does not run and has not closed it, as at {@code xl destroy}; {@code online} stays as it was. */
    @Test
    void takesASixOfTheToolstackForTheEnd() throws Exception {
        StorePath frontend = toolstack.attach(DEVICE);
        guest.store().write(frontend.child("ring-ref"), "8");
        guest.store().write(frontend.child("state"), "3");
        await(() -> state().equals("4"), "state 4");
        xen.domain0().store().write(BACKEND.child("state"), "6");
        await(() -> state().equals("gone"), "the directory to go");
        assertThat(driver.holdsNothing()).isTrue();
    }

    /** A frontend that unloads its driver comes back. */
    @Test
    void takesASixOfItsOwnForNoEnd() throws Exception {
        StorePath frontend = toolstack.attach(DEVICE);
        guest.store().write(frontend.child("state"), "6");
        await(() -> state().equals("6"), "state 6");
        guest.store().write(frontend.child("state"), "1");
        await(() -> state().equals("2"), "state 2");
        assertThat(xen.domain0().store().read(BACKEND.child("online"))).hasValue("1");
    }

    /** A guest may forbid the reading of its own nodes, and a node that is gone cannot be read either. */
    @Test
    void takesWhatTheGuestHidesForGone() throws Exception {
        StorePath frontend = toolstack.attach(DEVICE);
        guest.store().setPermissions(frontend.child("state"), List.of(StorePermission.parse("n" + GUEST)));
        await(() -> state().equals("6"), "state 6");
        guest.store()
                .setPermissions(
                        frontend.child("state"),
                        List.of(StorePermission.parse("n" + GUEST), StorePermission.parse("r" + STORAGE)));
        await(() -> state().equals("2"), "state 2");
        toolstack.detach(DEVICE, true);
        assertThat(state()).isEqualTo("gone");
        assertThat(driver.holdsNothing()).isTrue();
    }

    /** XSA-349, with real watches and transactions. */
    @Test
    void letsGoWhileTheGuestKeepsWriting() throws Exception {
        StorePath frontend = toolstack.attach(DEVICE);
        AtomicBoolean stop = new AtomicBoolean();
        AtomicInteger writes = new AtomicInteger();
        Thread writer = Thread.ofPlatform().start(() -> {
            try {
                while (!stop.get()) {
                    guest.store().write(frontend.child("state"), Integer.toString(writes.incrementAndGet() % 9));
                }
            } catch (XenException e) {
                // The toolstack has removed the directory.
            }
        });
        await(() -> writes.get() > 1000, "a storm");
        toolstack.detach(DEVICE, false);
        assertThat(state()).isEqualTo("gone");
        stop.set(true);
        writer.join();
    }
}
