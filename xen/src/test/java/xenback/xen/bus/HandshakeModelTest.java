package xenback.xen.bus;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import xenback.xen.bus.BackendMachine.Store;

/**
 * Both machines, a toolstack, a guest that crashes, resets and lies, and a backend process that is killed, in random order,
 * each machine's look and deed apart, as watches and transactions of different connections interleave. Whatever came
 * before, it must come to rest, the frontend must be able to come back, and a detach must end in 6 with nothing held.
 * A failing sequence is cut down to the steps that it needs.
 */
class HandshakeModelTest {
    private static final int SEQUENCES = 20_000;
    private static final int LENGTH = 40;

    private enum Step {
        BACKEND_LOOKS,
        BACKEND_ACTS,
        FRONTEND_LOOKS,
        FRONTEND_ACTS,
        SCRIPT_ENDS,
        TOOLSTACK_DETACHES,
        TOOLSTACK_FORCES,
        BACKEND_IS_KILLED,
        GUEST_CRASHES,
        GUEST_CLOSES_WITHOUT_A_WORD,
        GUEST_RESETS,
        GUEST_LIES,
        GUEST_BREAKS_ITS_RING,
        STORE_IS_TAKEN,
        STORE_IS_FREE
    }

    private static final List<Step> STEPS = List.of(Step.values());
    private static final List<XenbusState> STATES = List.of(XenbusState.values());

    @Test
    void comesToRestComesBackAndEndsInClosedWhateverHappens() {
        for (long seed = 1; seed <= SEQUENCES; seed++) {
            Random random = new Random(seed);
            List<Step> steps = new ArrayList<>();
            int length = random.nextInt(LENGTH);
            for (int i = 0; i < length; i++) {
                // The machines do most of what happens; all else is rarer, so that they get somewhere.
                int pick = random.nextInt(3 * STEPS.size());
                steps.add(STEPS.get(pick < STEPS.size() ? pick : pick % 4));
            }
            Optional<String> fault = new World(seed).run(steps);
            if (fault.isPresent()) {
                List<Step> needed = shortened(seed, steps);
                assertThat(new World(seed).run(needed))
                        .as("seed %d, steps %s", seed, needed)
                        .isEmpty();
            }
        }
    }

    private static List<Step> shortened(long seed, List<Step> failing) {
        List<Step> steps = new ArrayList<>(failing);
        for (int i = steps.size() - 1; i >= 0; i--) {
            Step removed = steps.remove(i);
            if (new World(seed).run(steps).isEmpty()) {
                steps.add(i, removed);
            }
        }
        return steps;
    }

    private static final class World {
        private static final int BOUND = 64;

        private final Random lies;
        private final List<String> faults = new ArrayList<>();

        // The store.
        private boolean backendPresent = true;
        private boolean frontendPresent = true;
        private boolean online = true;
        private boolean scriptEnded;
        private XenbusState backend = XenbusState.INITIALISING;
        private XenbusState frontend = XenbusState.INITIALISING;

        // The processes. Rings are numbered, so that a session over old ones can be told from one over new ones.
        private BackendMachine.Held backendHeld = BackendMachine.Held.NOTHING;
        private FrontendMachine.Held frontendHeld = FrontendMachine.Held.NOTHING;
        private BackendMachine.Effect backendIntent = BackendMachine.Effect.NOTHING;
        private FrontendMachine.Effect frontendIntent = FrontendMachine.Effect.NOTHING;
        private boolean frontendIntentForced;
        private boolean broken;
        private boolean storeTaken;
        private int rings;
        private int connectedRings = -1;

        World(long seed) {
            lies = new Random(seed);
        }

        Optional<String> run(List<Step> steps) {
            steps.forEach(this::perform);
            rest("after the steps");
            if (backendPresent && frontendPresent && online) {
                storeTaken = false;
                scriptEnded = true;
                backendHeld = backendHeld.store() == Store.FAILED
                        ? backendHeld.with(Store.CLOSED)
                        : backendHeld; // the toolstack would attach the device anew
                guestDies();
                frontend = XenbusState.INITIALISING;
                rest("after the guest's reset");
                check(
                        backend == XenbusState.CONNECTED
                                && frontend == XenbusState.CONNECTED
                                && backendHeld.connected()
                                && frontendHeld.attached()
                                && connectedRings == rings,
                        "an orderly reset does not lead to a connection");
            }
            detach();
            return faults.stream().findFirst();
        }

        private void detach() {
            perform(Step.TOOLSTACK_DETACHES);
            rest("after the detach");
            if (backend != XenbusState.CLOSED) {
                perform(Step.TOOLSTACK_FORCES);
                rest("after the forced detach");
            }
            check(backend == XenbusState.CLOSED, "a detach does not end in 6");
            check(!backendHeld.connected() && backendHeld.store() != Store.OPEN, "6 with something held");
            frontendPresent = false;
            backendPresent = false;
            rest("after the removal");
            check(
                    !backendHeld.connected() && backendHeld.store() != Store.OPEN && !frontendHeld.prepared(),
                    "removed with something held");
        }

        private void perform(Step step) {
            switch (step) {
                case BACKEND_LOOKS -> backendLooks();
                case BACKEND_ACTS -> backendActs();
                case FRONTEND_LOOKS -> frontendLooks();
                case FRONTEND_ACTS -> frontendActs();
                case SCRIPT_ENDS -> scriptEnded = true;
                case TOOLSTACK_DETACHES -> {
                    online = false;
                    backend = backend == XenbusState.CLOSED ? backend : XenbusState.CLOSING;
                }
                case TOOLSTACK_FORCES -> frontendPresent &= online;
                case BACKEND_IS_KILLED -> {
                    backendHeld = BackendMachine.Held.NOTHING;
                    backendIntent = BackendMachine.Effect.NOTHING;
                    connectedRings = -1;
                    broken = false;
                }
                case GUEST_CRASHES -> guestDies();
                case GUEST_CLOSES_WITHOUT_A_WORD -> {
                    guestDies();
                    frontend = XenbusState.CLOSED;
                }
                case GUEST_RESETS -> {
                    guestDies();
                    frontend = XenbusState.INITIALISING;
                }
                case GUEST_LIES -> frontend = STATES.get(lies.nextInt(STATES.size()));
                case GUEST_BREAKS_ITS_RING -> broken |= backendHeld.connected();
                case STORE_IS_TAKEN -> storeTaken = true;
                case STORE_IS_FREE -> storeTaken = false;
            }
        }

        private void guestDies() {
            frontendHeld = FrontendMachine.Held.NOTHING;
            frontendIntent = FrontendMachine.Effect.NOTHING;
            rings++; // whatever comes next has other pages
        }

        private void backendLooks() {
            if (broken) {
                backendHeld = backendHeld.withBroken(true);
            }
            BackendMachine.Seen seen = new BackendMachine.Seen(
                    backendPresent, backend, frontendPresent ? frontend : XenbusState.UNKNOWN, online, scriptEnded);
            backendHeld = backendHeld.noting(seen);
            backendIntent = BackendMachine.next(seen, backendHeld);
        }

        private void backendActs() {
            BackendMachine.Held held = backendHeld;
            switch (backendIntent) {
                case NOTHING -> {}
                case FORGET -> check(!held.connected() && held.store() != Store.OPEN, "forgets what it holds");
                case OFFER -> {
                    if (held.store() == Store.FAILED) {
                        backendHeld = held.with(Store.CLOSED);
                    }
                    backendSays(XenbusState.INIT_WAIT);
                }
                case OPEN_STORE -> {
                    check(held.store() == Store.CLOSED, "opens an open store");
                    backendHeld = held.with(storeTaken ? Store.FAILED : Store.OPEN);
                }
                case CONNECT -> backendConnects();
                case DISCONNECT -> {
                    backendHeld = held.withConnected(false);
                    connectedRings = -1;
                }
                case MEND -> {
                    broken = false;
                    backendHeld = held.withBroken(false);
                }
                case CLOSE_STORE -> {
                    check(!held.connected(), "closes the store under a session");
                    backendHeld = held.with(Store.CLOSED);
                }
                case SAY_CLOSING -> backendSays(XenbusState.CLOSING);
                case SAY_CLOSED -> backendSays(XenbusState.CLOSED);
                case RECONFIGURE -> backendSays(XenbusState.RECONFIGURED);
                case SAY_CONNECTED -> backendSays(XenbusState.CONNECTED);
            }
            backendIntent = BackendMachine.Effect.NOTHING;
        }

        private void backendConnects() {
            check(backendHeld.store() == Store.OPEN, "connects with a closed store");
            check(!backendHeld.connected(), "connects twice");
            if (frontendHeld.prepared()) {
                connectedRings = rings;
                backendHeld = backendHeld.withConnected(true);
                backendSays(XenbusState.CONNECTED);
            } else {
                broken = true; // there are no such grants
            }
        }

        private void backendSays(XenbusState state) {
            if (backendPresent) {
                backend = state;
            }
        }

        private void frontendLooks() {
            FrontendMachine.Seen seen =
                    new FrontendMachine.Seen(frontendPresent, frontend, backendPresent ? backend : XenbusState.UNKNOWN);
            frontendIntent = FrontendMachine.next(seen, frontendHeld);
            frontendIntentForced = !frontendPresent || !backendPresent;
        }

        private void frontendActs() {
            if (frontendIntent == FrontendMachine.Effect.PREPARE) {
                rings++;
            }
            // A backend that is forced away, and a guest that lies about its state, have themselves to blame.
            check(
                    frontendIntent != FrontendMachine.Effect.RELEASE || frontendIntentForced || connectedRings != rings,
                    "takes its pages back while the backend uses them");
            frontendHeld = FrontendMachineTest.held(frontendIntent, frontendHeld);
            if (frontendPresent) {
                frontend = FrontendMachineTest.said(frontendIntent, frontend);
            }
            frontendIntent = FrontendMachine.Effect.NOTHING;
        }

        private void rest(String when) {
            for (int turn = 0; turn < BOUND; turn++) {
                // Intents of before the rest are carried out first: they were decided, and nothing takes them back.
                boolean idle = backendIdle(backendIntent) && frontendIdle(frontendIntent);
                backendActs();
                frontendActs();
                backendLooks();
                frontendLooks();
                if (idle && backendIdle(backendIntent) && frontendIdle(frontendIntent)) {
                    backendActs();
                    frontendActs();
                    return;
                }
            }
            faults.add("no rest " + when + ": " + this);
        }

        private static boolean backendIdle(BackendMachine.Effect intent) {
            return intent == BackendMachine.Effect.NOTHING || intent == BackendMachine.Effect.FORGET;
        }

        private static boolean frontendIdle(FrontendMachine.Effect intent) {
            return intent == FrontendMachine.Effect.NOTHING || intent == FrontendMachine.Effect.FORGET;
        }

        private void check(boolean good, String fault) {
            if (!good) {
                faults.add(fault + ": " + this);
            }
        }

        @Override
        public String toString() {
            return "backend " + backend + " " + backendHeld + " over rings " + connectedRings + ", frontend " + frontend
                    + " " + frontendHeld + " with rings " + rings + ", online " + online;
        }
    }
}
