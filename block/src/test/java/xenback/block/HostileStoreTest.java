package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import xenback.block.protocol.Abi;
import xenback.xen.bus.XenbusState;
import xenback.xen.io.EventLoop.Engine;

/**
 * What a guest may write into its nodes instead of what the protocol wants: the device closes with a word on why, for the
 * toolstack, and serves as soon as the guest comes back with sense.
 */
class HostileStoreTest {
    private static final List<String> NO_NUMBERS = List.of(
            "",
            "-1",
            "4294967296",
            "18446744073709551616",
            "1e3",
            " 2",
            "2 ",
            "0x10",
            "+1",
            "\u00d9\u00a1",
            "8\n",
            "8\0",
            "\u001b[31m8",
            "1".repeat(2000),
            "8,9",
            "NaN");

    @TempDir
    private Path dir;

    private final LogRecords log = new LogRecords();
    private Machine machine;
    private HostileFrontend frontend;

    @BeforeEach
    void start() throws Exception {
        machine = new Machine(dir, Engine.URING);
        Path image = Machine.image(dir.resolve("disk.img"), 1 << 20);
        frontend = new HostileFrontend(machine, machine.guest(1), 51712, image, "w", Abi.X86_64);
    }

    @AfterEach
    void close() {
        frontend.close();
        machine.close();
        log.close();
        assertThat(log.faults()).isEmpty();
    }

    private interface Writing {
        void write() throws Exception;
    }

    /** Publishes honest values, spoils one, says 3, and expects a closed device with an error that names the key. */
    private void assertRefused(String what, String key, Writing spoil) throws Exception {
        frontend.awaitBackend(XenbusState.INIT_WAIT);
        frontend.prepare();
        frontend.publish();
        spoil.write();
        frontend.state(XenbusState.INITIALISED);
        frontend.awaitBackend(XenbusState.CLOSING);
        assertThat(frontend.error()).as(what).contains(key).matches("[ -~]{1,400}");
        assertThat(machine.xen.domain0().mappedGrants()).as(what).isZero();
        assertThat(machine.xen.domain0().openPorts()).as(what).isZero();
        frontend.forgetError();
        frontend.reset();
        assertThat(frontend.error()).as(what).isEmpty();
    }

    private void assertStillServes() throws Exception {
        frontend.connect();
        assertThat(frontend.works()).isTrue();
        assertThat(frontend.error()).isEmpty();
    }

    @Test
    void refusesWhatIsNoGrantReference() throws Exception {
        for (String value : NO_NUMBERS) {
            assertRefused("ring-ref '" + value + "'", "ring-ref", () -> frontend.write("ring-ref", value));
        }
        assertRefused("no ring-ref", "ring-ref", () -> frontend.remove("ring-ref"));
        assertStillServes();
    }

    @Test
    void refusesWhatIsNoPort() throws Exception {
        List<String> values = new ArrayList<>(NO_NUMBERS);
        values.add("0");
        values.add("131072");
        for (String value : values) {
            assertRefused(
                    "event-channel '" + value + "'", "event-channel", () -> frontend.write("event-channel", value));
        }
        assertRefused("no event-channel", "event-channel", () -> frontend.remove("event-channel"));
        assertStillServes();
    }

    @Test
    void refusesUnknownProtocols() throws Exception {
        for (String value :
                new String[] {"", "x86_64-abi ", "ia64-abi", "x86_64-abi\n", "\u001b[2J", "p".repeat(2000)}) {
            assertRefused("protocol '" + value + "'", "protocol", () -> frontend.write("protocol", value));
        }
        assertStillServes();
    }

    @Test
    void refusesGrantsAndPortsThatAreNotThere() throws Exception {
        for (String value : new String[] {"0", "7", "20000", "32768", "4294967295"}) {
            assertRefused("ring-ref " + value, "grant " + value, () -> frontend.write("ring-ref", value));
        }
        for (String value : new String[] {"900", "1023", "1024", "131071"}) {
            assertRefused("event-channel " + value, "port " + value, () -> frontend.write("event-channel", value));
        }
        assertStillServes();
    }

    @Test
    void refusesMoreThanWasOffered() throws Exception {
        for (String value : new String[] {"5", "16", "-1", "", "1e3"}) {
            assertRefused("order", "ring-page-order", () -> frontend.write("ring-page-order", value));
            frontend.remove("ring-page-order");
        }
        for (String value : new String[] {"0", "65", "-1", "", "4294967297"}) {
            assertRefused("queues", "multi-queue-num-queues", () -> frontend.write("multi-queue-num-queues", value));
            frontend.remove("multi-queue-num-queues");
        }
        frontend.write("ring-page-order", "0");
        frontend.write("multi-queue-num-queues", "1");
        assertStillServes();
    }

    /** Linux before 4.2 and others name the only page of their ring as the first of several. */
    @Test
    void takesASinglePageUnderEitherName() throws Exception {
        frontend.awaitBackend(XenbusState.INIT_WAIT);
        frontend.prepare();
        frontend.publish();
        String gref = machine.xen
                .domain0()
                .store()
                .require(xenback.xen.store.StorePath.of("/local/domain/1/device/vbd/51712/ring-ref"));
        frontend.remove("ring-ref");
        frontend.write("ring-page-order", "0");
        frontend.write("ring-ref0", gref);
        frontend.state(XenbusState.CONNECTED); // mini-os goes to 4 at once
        frontend.awaitBackend(XenbusState.CONNECTED);
        assertThat(frontend.works()).isTrue();
    }

    @Test
    void takesNonsenseStatesForAFrontendThatIsGone() throws Exception {
        frontend.connect();
        assertThat(frontend.works()).isTrue();
        for (String state : new String[] {"", "9", "-4", "44", "four", "4 ", "\u00d9\u00a4", "4\0", "4".repeat(2000)}) {
            frontend.write("state", state);
            frontend.awaitBackend(XenbusState.CLOSED);
            frontend.takeBack();
            frontend.state(XenbusState.INITIALISING);
            frontend.connect();
            assertThat(frontend.works()).as("after state '%s'", state).isTrue();
        }
    }

    @Test
    void lastsThroughStatesInAnyOrder() throws Exception {
        Random random = new Random(350);
        List<XenbusState> states = List.of(XenbusState.values());
        frontend.connect();
        for (int i = 0; i < 500; i++) {
            frontend.state(states.get(random.nextInt(states.size())));
        }
        frontend.state(XenbusState.CLOSED);
        frontend.awaitBackend(XenbusState.CLOSED);
        assertThat(machine.xen.domain0().mappedGrants()).isZero();
        assertThat(machine.xen.domain0().openPorts()).isZero();
        frontend.takeBack();
        frontend.state(XenbusState.INITIALISING);
        frontend.forgetError();
        assertStillServes();
    }

    @Test
    void wrongConnectionsAgainAndAgainFillNoLog() throws Exception {
        for (int i = 0; i < 60; i++) {
            assertRefused("ring-ref", "ring-ref", () -> frontend.write("ring-ref", "no"));
        }
        assertThat(log.lines()).isNotEmpty().hasSizeLessThan(60);
        assertStillServes();
    }
}
