package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.xen.bus.XenbusState.CLOSED;
import static xenback.xen.bus.XenbusState.CLOSING;
import static xenback.xen.bus.XenbusState.CONNECTED;
import static xenback.xen.bus.XenbusState.INITIALISED;
import static xenback.xen.bus.XenbusState.INITIALISING;
import static xenback.xen.bus.XenbusState.INIT_WAIT;
import static xenback.xen.bus.XenbusState.UNKNOWN;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import xenback.xen.bus.BackendMachine.Effect;
import xenback.xen.bus.BackendMachine.Held;
import xenback.xen.bus.BackendMachine.Seen;
import xenback.xen.bus.BackendMachine.Store;

/** Every state of the world against every state of the process: what is never done, and where it comes to rest. */
class BackendMachineTest {
    /** As many steps as the device takes per poke. */
    private static final int STEPS = 16;

    private static List<Seen> everySeen() {
        List<Seen> all = new ArrayList<>();
        for (XenbusState own : XenbusState.values()) {
            for (XenbusState frontend : XenbusState.values()) {
                for (int bits = 0; bits < 8; bits++) {
                    all.add(new Seen((bits & 1) != 0, own, frontend, (bits & 2) != 0, (bits & 4) != 0));
                }
            }
        }
        return all;
    }

    private static List<Held> everyHeld() {
        List<Held> all = new ArrayList<>();
        for (Store store : Store.values()) {
            for (int bits = 0; bits < 4; bits++) {
                all.add(new Held(store, (bits & 1) != 0, (bits & 2) != 0));
            }
        }
        return all;
    }

    @Test
    void doesNothingThatWhatItHoldsForbids() {
        for (Seen seen : everySeen()) {
            for (Held held : everyHeld()) {
                Effect effect = BackendMachine.next(seen, held);
                boolean allowed = switch (effect) {
                    case CONNECT ->
                        seen.present()
                                && seen.online()
                                && seen.hotplugOver()
                                && (seen.frontend() == INITIALISED || seen.frontend() == CONNECTED)
                                && held.equals(new Held(Store.OPEN, false, false));
                    case OPEN_STORE ->
                        seen.present() && seen.online() && held.store() == Store.CLOSED && !held.connected();
                    case DISCONNECT -> held.connected();
                    case CLOSE_STORE -> held.store() == Store.OPEN && !held.connected();
                    case MEND -> held.broken() && !held.connected();
                    case OFFER -> seen.present() && seen.online() && !held.connected();
                    case SAY_CLOSED -> seen.present() && seen.own() != CLOSED && !held.connected();
                    case SAY_CLOSING -> seen.present() && seen.own() != CLOSING;
                    case FORGET -> !seen.present() && !held.connected() && held.store() != Store.OPEN;
                    case NOTHING -> seen.present();
                };
                assertThat(allowed).as("%s at %s with %s", effect, seen, held).isTrue();
            }
        }
    }

    @Test
    void comesToRestFromEverywhereWhateverOpeningAndConnectingBring() {
        for (Seen start : everySeen()) {
            for (Held held : everyHeld()) {
                for (int luck = 0; luck < 4; luck++) {
                    Walk walk = new Walk(start, held, (luck & 1) != 0, (luck & 2) != 0);
                    assertThat(walk.toRest())
                            .as("from %s with %s: %s", start, held, walk.effects)
                            .isTrue();
                }
            }
        }
    }

    /** Asked again at its rest it does nothing; a watch that fires for nothing is harmless. */
    @Test
    void repeatsNoEffectAtRest() {
        for (Seen start : everySeen()) {
            for (Held held : everyHeld()) {
                Walk walk = new Walk(start, held, true, true);
                walk.toRest();
                int before = walk.effects.size();
                walk.toRest();
                assertThat(walk.effects).hasSize(before);
            }
        }
    }

    /** The table of {@link BackendMachine}: own state and what is held, after rest, for each pair; the device is online. */
    @ParameterizedTest
    @CsvSource({
        // frontend, own, connected before -> own, connected after
        "INITIALISING, INITIALISING, false, INIT_WAIT, false",
        "INITIALISING, INIT_WAIT, false, INIT_WAIT, false",
        "INITIALISING, CONNECTED, true, INIT_WAIT, false",
        "INITIALISING, CLOSING, true, INIT_WAIT, false",
        "INITIALISING, CLOSED, false, INIT_WAIT, false",
        "INIT_WAIT, CLOSED, false, INIT_WAIT, false",
        "INITIALISED, INITIALISING, false, CONNECTED, true",
        "INITIALISED, INIT_WAIT, false, CONNECTED, true",
        "INITIALISED, INITIALISED, false, CONNECTED, true",
        "INITIALISED, CLOSED, false, CONNECTED, true",
        "CONNECTED, INITIALISING, false, CONNECTED, true",
        "CONNECTED, INIT_WAIT, false, CONNECTED, true",
        "CONNECTED, CONNECTED, true, CONNECTED, true",
        "CONNECTED, INIT_WAIT, true, CONNECTED, true",
        "CONNECTED, CLOSING, true, CLOSING, true",
        "CONNECTED, CLOSED, false, CONNECTED, true",
        "CLOSING, INITIALISING, false, CLOSING, false",
        "CLOSING, INIT_WAIT, false, CLOSING, false",
        "CLOSING, CONNECTED, true, CLOSING, true",
        "CLOSING, CLOSING, true, CLOSING, true",
        "CLOSING, CLOSED, false, CLOSED, false",
        "CLOSED, INIT_WAIT, false, CLOSED, false",
        "CLOSED, CONNECTED, true, CLOSED, false",
        "CLOSED, CLOSING, true, CLOSED, false",
        "CLOSED, CLOSED, false, CLOSED, false",
        "UNKNOWN, CONNECTED, true, CLOSED, false",
        "UNKNOWN, CLOSING, true, CLOSED, false",
        "UNKNOWN, INIT_WAIT, false, CLOSED, false",
    })
    void answersEachFrontendStateByTheTable(
            XenbusState frontend, XenbusState own, boolean connected, XenbusState ownAfter, boolean connectedAfter) {
        Walk walk =
                new Walk(new Seen(true, own, frontend, true, true), new Held(Store.OPEN, connected, false), true, true);
        assertThat(walk.toRest()).isTrue();
        assertThat(walk.seen.own()).isEqualTo(ownAfter);
        assertThat(walk.held).isEqualTo(new Held(Store.OPEN, connectedAfter, false));
    }

    @Test
    void endsInClosedWithoutALiveFrontendWhenTheToolstackAsks() {
        for (Seen start : everySeen()) {
            for (Held held : everyHeld()) {
                if (start.present() && !start.online()) {
                    XenbusState frontend = start.frontend();
                    boolean live = held.connected()
                            && (frontend == INITIALISED || frontend == CONNECTED || frontend == CLOSING);
                    Walk walk = new Walk(start, held, true, true);
                    assertThat(walk.toRest()).isTrue();
                    assertThat(walk.seen.own())
                            .as("from %s with %s", start, held)
                            .isEqualTo(live ? CLOSING : CLOSED);
                    if (!live) {
                        assertThat(walk.held.connected()).isFalse();
                        assertThat(walk.held.store()).isNotEqualTo(Store.OPEN);
                    }
                }
            }
        }
    }

    @Test
    void holdsStateTwoUntilTheHotplugScriptIsDone() {
        Walk walk = new Walk(
                new Seen(true, INITIALISING, INITIALISED, true, false),
                new Held(Store.CLOSED, false, false),
                true,
                true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.OFFER, Effect.OPEN_STORE);
        walk.seen = new Seen(true, walk.seen.own(), INITIALISED, true, true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.OFFER, Effect.OPEN_STORE, Effect.CONNECT);
    }

    @Test
    void triesAStoreThatFailedOnlyAfterANewOffer() {
        Walk walk = new Walk(
                new Seen(true, INITIALISING, INITIALISING, true, true),
                new Held(Store.CLOSED, false, false),
                false,
                true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.OFFER, Effect.OPEN_STORE);
        walk.toRest();
        assertThat(walk.effects).hasSize(2);
    }

    @Test
    void givesABrokenRingNoNewSessionBeforeTheFrontendHasGoneBack() {
        for (XenbusState frontend : new XenbusState[] {INITIALISED, CONNECTED}) {
            Walk walk = new Walk(
                    new Seen(true, CONNECTED, frontend, true, true), new Held(Store.OPEN, true, true), true, true);
            assertThat(walk.toRest()).isTrue();
            assertThat(walk.effects).containsExactly(Effect.DISCONNECT, Effect.SAY_CLOSING);
            walk.seen = new Seen(true, CLOSING, INITIALISING, true, true);
            assertThat(walk.toRest()).isTrue();
            assertThat(walk.effects)
                    .containsExactly(
                            Effect.DISCONNECT, Effect.SAY_CLOSING, Effect.MEND, Effect.SAY_CLOSED, Effect.OFFER);
        }
    }

    /** A device whose state 4 could not be written after connecting: the session is made anew, not twice. */
    @Test
    void endsASessionBeforeItConnectsAgain() {
        Walk walk = new Walk(
                new Seen(true, INIT_WAIT, INITIALISED, true, true), new Held(Store.OPEN, true, false), true, true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.DISCONNECT, Effect.CONNECT);
    }

    @Test
    void readsWhatIsNoStateAsUnknown() {
        for (String text : new String[] {"", "9", "-1", "44", "4 ", " 4", "x", "\u0664", "4\n", "1".repeat(4000)}) {
            assertThat(XenbusState.parse(text)).as(text).isEqualTo(UNKNOWN);
        }
        for (XenbusState state : XenbusState.values()) {
            assertThat(XenbusState.parse(state.text())).isEqualTo(state);
        }
    }

    /** Performs effects on a world that stands still otherwise, as {@link BackendDevice} does. */
    private static final class Walk {
        final List<Effect> effects = new ArrayList<>();
        Seen seen;
        Held held;
        private final boolean storeOpens;
        private final boolean connects;

        Walk(Seen seen, Held held, boolean storeOpens, boolean connects) {
            this.seen = seen;
            this.held = held;
            this.storeOpens = storeOpens;
            this.connects = connects;
        }

        boolean toRest() {
            for (int step = 0; step < STEPS; step++) {
                Effect effect = BackendMachine.next(seen, held);
                if (effect == Effect.NOTHING || effect == Effect.FORGET) {
                    return true;
                }
                effects.add(effect);
                perform(effect);
            }
            return false;
        }

        private void perform(Effect effect) {
            switch (effect) {
                case OFFER -> {
                    held = new Held(
                            held.store() == Store.FAILED ? Store.CLOSED : held.store(),
                            held.connected(),
                            held.broken());
                    say(INIT_WAIT);
                }
                case OPEN_STORE ->
                    held = new Held(storeOpens ? Store.OPEN : Store.FAILED, held.connected(), held.broken());
                case CONNECT -> {
                    held = new Held(held.store(), connects, !connects);
                    if (connects) {
                        say(CONNECTED);
                    }
                }
                case DISCONNECT -> held = new Held(held.store(), false, held.broken());
                case MEND -> held = new Held(held.store(), false, false);
                case CLOSE_STORE -> held = new Held(Store.CLOSED, false, held.broken());
                case SAY_CLOSING -> say(CLOSING);
                case SAY_CLOSED -> say(CLOSED);
                case NOTHING, FORGET -> throw new IllegalStateException(effect.toString());
            }
        }

        private void say(XenbusState state) {
            seen = new Seen(seen.present(), state, seen.frontend(), seen.online(), seen.hotplugOver());
        }
    }
}
