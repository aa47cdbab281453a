package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;
import static xenback.xen.bus.XenbusState.CLOSED;
import static xenback.xen.bus.XenbusState.CLOSING;
import static xenback.xen.bus.XenbusState.CONNECTED;
import static xenback.xen.bus.XenbusState.INITIALISED;
import static xenback.xen.bus.XenbusState.INITIALISING;
import static xenback.xen.bus.XenbusState.INIT_WAIT;
import static xenback.xen.bus.XenbusState.RECONFIGURED;
import static xenback.xen.bus.XenbusState.UNKNOWN;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.xen.bus.BackendMachine.Effect;
import xenback.xen.bus.BackendMachine.Held;
import xenback.xen.bus.BackendMachine.Seen;
import xenback.xen.bus.BackendMachine.Store;

/** Every state of the world against every state of the process: what is never done, and where it comes to rest. */
class BackendMachineTest {
    /** As many steps as the device takes per poke; the longest way needs fewer. */
    private static final int STEPS = 16;

    private static final Held OPEN = new Held(Store.OPEN, false, false, false, false);
    private static final Held RUNNING = OPEN.withConnected(true);
    private static final Held MET = new Held(Store.OPEN, true, true, false, false);

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
            for (int bits = 0; bits < 16; bits++) {
                all.add(new Held(store, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0));
            }
        }
        return all;
    }

    private interface Rule {
        boolean holds(Seen seen, Held held, Effect effect);
    }

    /** A rule on every pair of what is seen and what is held. */
    private static void always(Rule rule) {
        for (Seen seen : everySeen()) {
            for (Held held : everyHeld()) {
                Effect effect = BackendMachine.next(seen, held);
                assertThat(rule.holds(seen, held, effect))
                        .as("%s at %s with %s", effect, seen, held)
                        .isTrue();
            }
        }
    }

    private static Rule only(Effect when, Rule rule) {
        return (seen, held, effect) -> effect != when || rule.holds(seen, held, effect);
    }

    @Test
    void connectsOnlyAnOpenStoreToAReadyFrontendWhenLibxlHasSeenTwo() {
        always(only(
                Effect.CONNECT,
                (seen, held, effect) -> seen.present()
                        && seen.online()
                        && seen.hotplugOver()
                        && (seen.own() == INIT_WAIT || seen.own() == INITIALISED)
                        && (seen.frontend() == INITIALISED || seen.frontend() == CONNECTED)
                        && held.store() == Store.OPEN
                        && !held.connected()
                        && !held.broken()));
    }

    @Test
    void opensAStoreOnceAndOnlyAfterTheOffer() {
        always(only(
                Effect.OPEN_STORE,
                (seen, held, effect) -> seen.present()
                        && seen.online()
                        && (seen.own() == INIT_WAIT || seen.own() == INITIALISED)
                        && held.store() == Store.CLOSED
                        && !held.connected()));
    }

    @Test
    void disconnectsOnlyASession() {
        always(only(Effect.DISCONNECT, (seen, held, effect) -> held.connected()));
    }

    @Test
    void closesNoStoreUnderASession() {
        always(only(Effect.CLOSE_STORE, (seen, held, effect) -> held.store() == Store.OPEN && !held.connected()));
    }

    @Test
    void keepsTheStoreOfADeviceThatTheToolstackHasNotTakenBack() {
        always(only(
                Effect.CLOSE_STORE,
                (seen, held, effect) ->
                        !seen.present() || !seen.online() || seen.own() == INITIALISING || seen.own() == UNKNOWN));
    }

    @Test
    void mendsOnlyWhatIsBrokenAndHasNoSession() {
        always(only(Effect.MEND, (seen, held, effect) -> held.broken() && !held.connected()));
    }

    @Test
    void offersOnlyWithoutASession() {
        always(only(Effect.OFFER, (seen, held, effect) -> seen.present() && seen.online() && !held.connected()));
    }

    /** A directory at 1 was written since the store was opened, and may name another store. */
    @Test
    void offersAFreshDirectoryOnlyWithNothingHeldOfAnOlderOne() {
        always(only(
                Effect.OFFER,
                (seen, held, effect) ->
                        (seen.own() != INITIALISING && seen.own() != UNKNOWN) || held.store() != Store.OPEN));
    }

    @Test
    void saysClosedOnlyWithoutASessionAndAtTheEndWithoutAStore() {
        always(only(
                Effect.SAY_CLOSED,
                (seen, held, effect) -> seen.present()
                        && seen.own() != CLOSED
                        && !held.connected()
                        && (seen.online() || held.store() != Store.OPEN)));
    }

    @Test
    void saysNoStateTwice() {
        always((seen, held, effect) -> switch (effect) {
            case SAY_CLOSING -> seen.present() && seen.own() != CLOSING;
            case SAY_CLOSED -> seen.own() != CLOSED;
            case OFFER -> seen.own() != INIT_WAIT;
            default -> true;
        });
    }

    @Test
    void forgetsOnlyADeviceThatIsGoneAndHoldsNothing() {
        always((seen, held, effect) -> effect == Effect.FORGET
                ? !seen.present() && !held.connected() && held.store() != Store.OPEN
                : seen.present() || effect == Effect.DISCONNECT || effect == Effect.CLOSE_STORE);
    }

    @Test
    void holdsStateTwoUntilTheHotplugScriptIsOverWhateverTheGuestDoes() {
        always((seen, held, effect) -> !seen.present()
                || !seen.online()
                || seen.hotplugOver()
                || (seen.own() != INIT_WAIT && seen.own() != INITIALISED)
                || effect == Effect.NOTHING
                || effect == Effect.OPEN_STORE
                || effect == Effect.DISCONNECT);
    }

    @Test
    void endsABrokenSessionFirst() {
        always((seen, held, effect) -> !held.broken() || !held.connected() || effect == Effect.DISCONNECT);
    }

    @Test
    void comesToRestFromEverywhereWhateverOpeningAndConnectingBring() {
        int longest = 0;
        for (Seen start : everySeen()) {
            for (Held held : everyHeld()) {
                for (int luck = 0; luck < 4; luck++) {
                    Walk walk = new Walk(start, held, (luck & 1) != 0, (luck & 2) != 0);
                    assertThat(walk.toRest())
                            .as("from %s with %s: %s", start, held, walk.effects)
                            .isTrue();
                    longest = Math.max(longest, walk.effects.size());
                }
            }
        }
        assertThat(longest).isLessThanOrEqualTo(8);
    }

    /** Asked again at its rest it does nothing; a watch that fires for nothing is harmless. */
    @Test
    void repeatsNoEffectAtRest() {
        for (Walk walk : everyWalk()) {
            int before = walk.effects.size();
            walk.toRest();
            assertThat(walk.effects).hasSize(before);
        }
    }

    @Test
    void restsAtSixOrGoneWithNothingOfItHeld() {
        for (Walk walk : everyWalk()) {
            if (!walk.seen.present() || walk.seen.own() == CLOSED) {
                assertThat(walk.held.connected()).as(walk.toString()).isFalse();
            }
            if (!walk.seen.present() || !walk.seen.online() && walk.seen.own() == CLOSED) {
                assertThat(walk.held.store()).as(walk.toString()).isNotEqualTo(Store.OPEN);
            }
        }
    }

    @Test
    void restsAtFourOnlyWithASessionUnlessADeadProcessLeftIt() {
        for (Walk walk : everyWalk()) {
            if (walk.effects.contains(Effect.CONNECT) && walk.seen.own() == CONNECTED) {
                assertThat(walk.held.connected()).as(walk.toString()).isTrue();
            }
        }
    }

    private static List<Walk> everyWalk() {
        List<Walk> walks = new ArrayList<>();
        for (Seen start : everySeen()) {
            for (Held held : everyHeld()) {
                Walk walk = new Walk(start, held, true, true);
                assertThat(walk.toRest()).isTrue();
                walks.add(walk);
            }
        }
        return walks;
    }

    /** The table of {@link BackendMachine}: own state and session, after rest, for each pair; online, with an open store. */
    @ParameterizedTest
    @CsvSource({
        // frontend, own, connected before -> own, connected after
        "INITIALISING, INITIALISING, false, INIT_WAIT, false",
        "INITIALISING, INITIALISING, true, INIT_WAIT, false",
        "INITIALISING, INIT_WAIT, false, INIT_WAIT, false",
        "INITIALISING, CONNECTED, true, INIT_WAIT, false",
        "INITIALISING, CLOSING, true, INIT_WAIT, false",
        "INITIALISING, CLOSED, false, INIT_WAIT, false",
        "INIT_WAIT, CLOSED, false, INIT_WAIT, false",
        "INITIALISED, INITIALISING, false, CONNECTED, true",
        "INITIALISED, INIT_WAIT, false, CONNECTED, true",
        "INITIALISED, INITIALISED, false, CONNECTED, true",
        "INITIALISED, CONNECTED, true, CONNECTED, true",
        "INITIALISED, CONNECTED, false, CONNECTED, true",
        "INITIALISED, CLOSING, false, CONNECTED, true",
        "INITIALISED, CLOSED, false, CONNECTED, true",
        "CONNECTED, INITIALISING, false, CONNECTED, true",
        "CONNECTED, INITIALISING, true, CONNECTED, true",
        "CONNECTED, INIT_WAIT, false, CONNECTED, true",
        "CONNECTED, CONNECTED, true, CONNECTED, true",
        "CONNECTED, CONNECTED, false, CONNECTED, true",
        "CONNECTED, INIT_WAIT, true, CONNECTED, true",
        "CONNECTED, CLOSING, true, CLOSING, true",
        "CONNECTED, CLOSING, false, CLOSING, false",
        "CONNECTED, CLOSED, false, CONNECTED, true",
        "CLOSING, INITIALISING, false, CLOSING, false",
        "CLOSING, INIT_WAIT, false, CLOSING, false",
        "CLOSING, CONNECTED, true, CLOSING, true",
        "CLOSING, CLOSING, true, CLOSING, true",
        "CLOSING, CLOSED, false, CLOSED, false",
        "CLOSING, CLOSED, true, CLOSED, false",
        "CLOSED, INIT_WAIT, false, CLOSED, false",
        "CLOSED, CONNECTED, true, CLOSED, false",
        "CLOSED, CLOSING, true, CLOSED, false",
        "CLOSED, CLOSED, false, CLOSED, false",
        "UNKNOWN, CONNECTED, true, CLOSED, false",
        "UNKNOWN, CLOSING, true, CLOSED, false",
        "UNKNOWN, INIT_WAIT, false, CLOSED, false",
        "RECONFIGURING, CONNECTED, true, RECONFIGURED, true",
        "RECONFIGURING, CLOSING, true, CLOSING, true",
        "RECONFIGURING, INIT_WAIT, false, INIT_WAIT, false",
        "CONNECTED, RECONFIGURED, true, CONNECTED, true",
        "CLOSED, RECONFIGURED, true, CLOSED, false",
    })
    void answersEachFrontendStateByTheTable(
            XenbusState frontend, XenbusState own, boolean connected, XenbusState ownAfter, boolean connectedAfter) {
        Walk walk = new Walk(new Seen(true, own, frontend, true, true), OPEN.withConnected(connected), true, true);
        assertThat(walk.toRest()).isTrue();
        assertThat(walk.seen.own()).isEqualTo(ownAfter);
        assertThat(walk.held.connected()).isEqualTo(connectedAfter);
        assertThat(walk.held.broken()).isFalse();
    }

    @Test
    void endsInClosedWithoutALiveFrontendWhenTheToolstackAsks() {
        for (Seen start : everySeen()) {
            for (Held held : everyHeld()) {
                if (start.present() && !start.online()) {
                    XenbusState frontend = start.frontend();
                    boolean serving = start.own() != CLOSED && start.own() != INITIALISING && start.own() != UNKNOWN;
                    boolean live = held.connected()
                            && !held.broken()
                            && serving
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

    /** Resume on the same host, or a checkpoint: the frontend makes a new ring and says 3 while we are at 4. */
    @Test
    void endsTheOldSessionWhenTheFrontendHasANewRing() {
        Walk walk = new Walk(new Seen(true, CONNECTED, INITIALISED, true, true), MET, true, true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.DISCONNECT, Effect.OFFER, Effect.CONNECT);
    }

    /** It may have gone from 4 to 3 and back to 4 before anybody looked: then its nodes tell. */
    @ParameterizedTest
    @EnumSource(
            value = XenbusState.class,
            names = {"INITIALISED", "CONNECTED"})
    void endsTheOldSessionWhenTheFrontendNamesOtherRings(XenbusState frontend) {
        Walk walk = new Walk(new Seen(true, CONNECTED, frontend, true, true), MET.withOutdated(true), true, true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.DISCONNECT, Effect.OFFER, Effect.CONNECT);
    }

    /** A frontend that has not seen our 4 yet is still at 3, with the ring that the session is connected to. */
    @Test
    void keepsTheSessionWhileItsFrontendHasNotSeenFour() {
        Walk walk = new Walk(new Seen(true, CONNECTED, INITIALISED, true, true), RUNNING, true, true);
        walk.toRest();
        assertThat(walk.effects).isEmpty();
    }

    /** 4, 5 and 3 again: our 5 answered the frontend's, which has thought better of it. */
    @Test
    void connectsAnewAFrontendThatWasClosingAndHasANewRing() {
        Walk walk = new Walk(new Seen(true, CONNECTED, CONNECTED, true, true), RUNNING, true, true);
        walk.toRest();
        walk.frontend(CLOSING);
        walk.frontend(INITIALISED);
        assertThat(walk.effects).containsExactly(Effect.SAY_CLOSING, Effect.DISCONNECT, Effect.OFFER, Effect.CONNECT);
        assertThat(walk.held).isEqualTo(RUNNING);
    }

    /** mini-os and OVMF go from 1 to 4 at once. */
    @Test
    void connectsAFrontendThatGoesStraightToFour() {
        Walk walk = new Walk(new Seen(true, INITIALISING, INITIALISING, true, true), Held.NOTHING, true, true);
        walk.toRest();
        walk.frontend(CONNECTED);
        assertThat(walk.effects).containsExactly(Effect.OFFER, Effect.OPEN_STORE, Effect.CONNECT);
        assertThat(walk.held).isEqualTo(MET);
    }

    @Test
    void connectsAFrontendThatIsReadyBeforeTheStoreAndBeforeTheScript() {
        Walk walk = new Walk(new Seen(true, INITIALISING, INITIALISED, true, false), Held.NOTHING, true, true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.OFFER, Effect.OPEN_STORE);
        assertThat(walk.seen.own()).isEqualTo(INIT_WAIT);
        walk.seen = new Seen(true, INIT_WAIT, INITIALISED, true, true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.OFFER, Effect.OPEN_STORE, Effect.CONNECT);
    }

    /** GRUB says 6 without a 5, waits for our 6, and the kernel begins with 1 and waits for our 2. */
    @Test
    void handsOverFromTheBootLoaderToTheKernel() {
        Walk walk = new Walk(new Seen(true, CONNECTED, CONNECTED, true, true), RUNNING, true, true);
        walk.toRest();
        walk.frontend(CLOSED);
        assertThat(walk.seen.own()).isEqualTo(CLOSED);
        walk.frontend(INITIALISING);
        assertThat(walk.seen.own()).isEqualTo(INIT_WAIT);
        walk.frontend(INITIALISED);
        assertThat(walk.effects).containsExactly(Effect.DISCONNECT, Effect.SAY_CLOSED, Effect.OFFER, Effect.CONNECT);
    }

    /** kexec: the new kernel finds everything connected, and says 1. */
    @Test
    void beginsAnewWithAKernelThatComesWithoutAWord() {
        Walk walk = new Walk(new Seen(true, CONNECTED, INITIALISING, true, true), MET, true, true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.DISCONNECT, Effect.OFFER);
        assertThat(walk.seen.own()).isEqualTo(INIT_WAIT);
    }

    /** The ring of a process that died cannot be entered: nobody knows which requests it has answered. */
    @ParameterizedTest
    @EnumSource(
            value = XenbusState.class,
            names = {"INITIALISED", "CONNECTED"})
    void leavesTheFourOfADeadProcessAlone(XenbusState frontend) {
        Walk walk = new Walk(new Seen(true, CONNECTED, frontend, true, true), Held.NOTHING, true, true);
        walk.toRest();
        assertThat(walk.effects).isEmpty();
    }

    @Test
    void servesAfterADeadProcessWhenTheFrontendHasGoneBack() {
        Walk walk = new Walk(new Seen(true, CONNECTED, CONNECTED, true, true), Held.NOTHING, true, true);
        walk.toRest();
        walk.frontend(INITIALISING);
        walk.frontend(INITIALISED);
        assertThat(walk.effects).containsExactly(Effect.OFFER, Effect.OPEN_STORE, Effect.CONNECT);
    }

    /** The toolstack has removed the device and attached another under its number before anybody looked. */
    @Test
    void takesNothingOfARemovedDeviceOverToTheNextOfItsNumber() {
        Walk walk = new Walk(
                new Seen(true, INITIALISING, INITIALISED, true, true),
                new Held(Store.OPEN, true, true, false, true),
                true,
                true);
        walk.toRest();
        assertThat(walk.effects)
                .containsExactly(
                        Effect.DISCONNECT,
                        Effect.CLOSE_STORE,
                        Effect.MEND,
                        Effect.OFFER,
                        Effect.OPEN_STORE,
                        Effect.CONNECT);
    }

    @Test
    void waitsForNoFrontendOfABrokenRingWhenTheToolstackAsks() {
        Walk walk = new Walk(
                new Seen(true, CONNECTED, CONNECTED, false, true),
                new Held(Store.OPEN, true, true, false, true),
                true,
                true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.DISCONNECT, Effect.CLOSE_STORE, Effect.SAY_CLOSED);
    }

    @Test
    void triesAStoreThatFailedOnlyAfterANewOffer() {
        Walk walk = new Walk(new Seen(true, INITIALISING, INITIALISING, true, true), Held.NOTHING, false, true);
        walk.toRest();
        assertThat(walk.effects).containsExactly(Effect.OFFER, Effect.OPEN_STORE);
        walk.toRest();
        assertThat(walk.effects).hasSize(2);
    }

    @Test
    void givesABrokenRingNoNewSessionBeforeTheFrontendHasGoneBack() {
        for (XenbusState frontend : new XenbusState[] {INITIALISED, CONNECTED}) {
            Walk walk = new Walk(new Seen(true, CONNECTED, frontend, true, true), RUNNING.withBroken(true), true, true);
            assertThat(walk.toRest()).isTrue();
            assertThat(walk.effects).containsExactly(Effect.DISCONNECT, Effect.SAY_CLOSING);
            walk.frontend(INITIALISING);
            assertThat(walk.effects)
                    .containsExactly(
                            Effect.DISCONNECT, Effect.SAY_CLOSING, Effect.MEND, Effect.SAY_CLOSED, Effect.OFFER);
        }
    }

    /** A device whose state 4 could not be written after connecting: the session is made anew, not twice. */
    @Test
    void endsASessionBeforeItConnectsAgain() {
        Walk walk = new Walk(new Seen(true, INIT_WAIT, INITIALISED, true, true), RUNNING, true, true);
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
                held = held.noting(seen);
                Effect effect = BackendMachine.next(seen, held);
                if (effect == Effect.NOTHING || effect == Effect.FORGET) {
                    return true;
                }
                effects.add(effect);
                perform(effect);
            }
            return false;
        }

        /** The frontend says something, and the backend does what follows from it. */
        void frontend(XenbusState state) {
            seen = new Seen(seen.present(), seen.own(), state, seen.online(), seen.hotplugOver());
            assertThat(toRest()).isTrue();
        }

        private void perform(Effect effect) {
            switch (effect) {
                case OFFER -> {
                    held = held.store() == Store.FAILED ? held.with(Store.CLOSED) : held;
                    say(INIT_WAIT);
                }
                case OPEN_STORE -> held = held.with(storeOpens ? Store.OPEN : Store.FAILED);
                case CONNECT -> {
                    held = connects ? held.withConnected(true) : held.withBroken(true);
                    if (connects) {
                        say(CONNECTED);
                    }
                }
                case DISCONNECT -> held = held.withConnected(false);
                case RECONFIGURE -> say(RECONFIGURED);
                case SAY_CONNECTED -> say(CONNECTED);
                case MEND -> held = held.withBroken(false);
                case CLOSE_STORE -> held = held.with(Store.CLOSED);
                case SAY_CLOSING -> say(CLOSING);
                case SAY_CLOSED -> say(CLOSED);
                case NOTHING, FORGET -> throw new IllegalStateException(effect.toString());
            }
        }

        private void say(XenbusState state) {
            seen = new Seen(seen.present(), state, seen.frontend(), seen.online(), seen.hotplugOver());
        }

        @Override
        public String toString() {
            return effects + " to " + seen + " with " + held;
        }
    }
}
