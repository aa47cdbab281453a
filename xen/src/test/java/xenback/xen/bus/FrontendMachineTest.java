package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import xenback.xen.bus.FrontendMachine.Effect;
import xenback.xen.bus.FrontendMachine.Held;
import xenback.xen.bus.FrontendMachine.Seen;

class FrontendMachineTest {
    private static final int STEPS = 16;
    private static final List<Held> EVERY_HELD =
            List.of(new Held(false, false), new Held(true, false), new Held(true, true));

    private static List<Seen> everySeen() {
        List<Seen> all = new ArrayList<>();
        for (XenbusState own : XenbusState.values()) {
            for (XenbusState backend : XenbusState.values()) {
                all.add(new Seen(true, own, backend));
                all.add(new Seen(false, own, backend));
            }
        }
        return all;
    }

    @Test
    void doesNothingThatWhatItHoldsForbids() {
        for (Seen seen : everySeen()) {
            for (Held held : EVERY_HELD) {
                Effect effect = FrontendMachine.next(seen, held);
                boolean allowed = switch (effect) {
                    case PREPARE ->
                        seen.present()
                                && seen.own() == XenbusState.INITIALISING
                                && seen.backend() == XenbusState.INIT_WAIT
                                && !held.prepared();
                    case ATTACH ->
                        seen.present()
                                && seen.own() == XenbusState.INITIALISED
                                && seen.backend() == XenbusState.CONNECTED
                                && held.prepared();
                    case DETACH -> held.attached();
                    // What the backend may still have mapped is kept: it has let go at 2, at 6, and when it is gone.
                    case RELEASE ->
                        held.prepared()
                                && !held.attached()
                                && (!seen.present()
                                        || seen.backend() == XenbusState.INIT_WAIT
                                        || seen.backend() == XenbusState.CLOSED
                                        || seen.backend() == XenbusState.UNKNOWN);
                    case SAY_CLOSING -> seen.present() && seen.own() == XenbusState.CONNECTED;
                    case SAY_CLOSED -> seen.present() && seen.own() != XenbusState.CLOSED && !held.attached();
                    case FORGET -> !seen.present() && !held.prepared();
                    case NOTHING -> seen.present();
                };
                assertThat(allowed).as("%s at %s with %s", effect, seen, held).isTrue();
            }
        }
    }

    @Test
    void comesToRestFromEverywhereAndStaysThere() {
        for (Seen start : everySeen()) {
            for (Held held : EVERY_HELD) {
                Seen seen = start;
                Held now = held;
                int steps = 0;
                Effect effect = FrontendMachine.next(seen, now);
                while (effect != Effect.NOTHING && effect != Effect.FORGET) {
                    assertThat(++steps).as("steps from %s with %s", start, held).isLessThan(STEPS);
                    now = held(effect, now);
                    seen = new Seen(seen.present(), said(effect, seen.own()), seen.backend());
                    effect = FrontendMachine.next(seen, now);
                }
            }
        }
    }

    /** The table of {@link FrontendMachine}, one step each, with everything held that the state implies. */
    @ParameterizedTest
    @CsvSource({
        "INIT_WAIT, INITIALISING, PREPARE",
        "INIT_WAIT, INITIALISED, NOTHING",
        "INIT_WAIT, CONNECTED, DETACH",
        "INIT_WAIT, CLOSING, DETACH",
        "INIT_WAIT, CLOSED, RELEASE",
        "CONNECTED, INITIALISING, NOTHING",
        "CONNECTED, INITIALISED, ATTACH",
        "CONNECTED, CONNECTED, NOTHING",
        "CONNECTED, CLOSING, DETACH",
        "CONNECTED, CLOSED, NOTHING",
        "CLOSING, INITIALISING, NOTHING",
        "CLOSING, INITIALISED, SAY_CLOSED",
        "CLOSING, CONNECTED, SAY_CLOSING",
        "CLOSING, CLOSING, DETACH",
        "CLOSING, CLOSED, NOTHING",
        "CLOSED, INITIALISING, NOTHING",
        "CLOSED, INITIALISED, SAY_CLOSED",
        "CLOSED, CONNECTED, SAY_CLOSING",
        "CLOSED, CLOSING, DETACH",
        "CLOSED, CLOSED, RELEASE",
        "UNKNOWN, INITIALISING, SAY_CLOSED",
        "UNKNOWN, INITIALISED, SAY_CLOSED",
        "UNKNOWN, CONNECTED, SAY_CLOSING",
        "UNKNOWN, CLOSED, RELEASE",
        "INITIALISING, INITIALISING, NOTHING",
    })
    void answersEachBackendStateByTheTable(XenbusState backend, XenbusState own, Effect effect) {
        Held held = switch (own) {
            case INITIALISED, CLOSED -> new Held(true, false);
            case CONNECTED, CLOSING -> new Held(true, true);
            default -> new Held(false, false);
        };
        assertThat(FrontendMachine.next(new Seen(true, own, backend), held)).isEqualTo(effect);
    }

    static Held held(Effect effect, Held before) {
        return switch (effect) {
            case PREPARE, DETACH -> new Held(true, false);
            case ATTACH -> new Held(true, true);
            case RELEASE -> new Held(false, false);
            case SAY_CLOSING -> new Held(before.prepared(), false);
            case SAY_CLOSED, NOTHING, FORGET -> before;
        };
    }

    static XenbusState said(Effect effect, XenbusState before) {
        return switch (effect) {
            case PREPARE -> XenbusState.INITIALISED;
            case ATTACH -> XenbusState.CONNECTED;
            case SAY_CLOSING -> XenbusState.CLOSING;
            case SAY_CLOSED -> XenbusState.CLOSED;
            case DETACH, RELEASE, NOTHING, FORGET -> before;
        };
    }
}
