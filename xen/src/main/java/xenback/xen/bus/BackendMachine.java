package xenback.xen.bus;

/**
 * What a backend does next, as a pure function of what the store says and what this process holds. Level-triggered: it is
 * asked again after every effect and after every watch, so a repeated state, a spurious watch or a restart is harmless, and
 * {@link Effect#NOTHING} is its rest.
 *
 * <pre>
 *   frontend \ own   1 or 6            2, 3               4                  5
 *   1, 2             offer -> 2        -                  drop, offer -> 2   (online) drop -> 6
 *   3, 4             offer -> 2        open, connect -> 4 -                  wait for the frontend
 *   5                (6: -) -> 5       -> 5               -> 5               wait for the frontend
 *   6 or gone        1: offer -> 2     drop -> 6          drop -> 6          drop -> 6
 * </pre>
 *
 * With {@code online} = 0 everything leads to 6: at once without a live frontend, after it has closed with one. The cases
 * are those of QEMU's xen-bus and Linux' xen-blkback: a frontend may go straight to 4 (mini-os), may be ready before the
 * store (Linux), and comes back after 6 with 1 (boot loader, kexec).
 */
public final class BackendMachine {
    /**
     * What the store says.
     *
     * @param present false once the backend directory is gone
     * @param own our {@code state}
     * @param frontend the frontend's {@code state}, {@link XenbusState#UNKNOWN} when its directory is gone
     * @param online the toolstack's {@code online}
     * @param hotplugOver the hotplug script is done, or none came within its time: libxl must have seen state 2
     */
    public record Seen(boolean present, XenbusState own, XenbusState frontend, boolean online, boolean hotplugOver) {}

    /**
     * What this process holds.
     *
     * @param store what became of the store behind the device
     * @param connected a session is running
     * @param broken the session's ring was broken by the guest: no new one before the frontend has gone back
     */
    public record Held(Store store, boolean connected, boolean broken) {
        static final Held NOTHING = new Held(Store.CLOSED, false, false);

        Held with(Store other) {
            return new Held(other, connected, broken);
        }

        Held withConnected(boolean other) {
            return new Held(store, other, broken);
        }

        Held withBroken(boolean other) {
            return new Held(store, connected, other);
        }
    }

    /** The store behind a device. */
    public enum Store {
        CLOSED,
        OPEN,
        /** It could not be opened; said once, not tried again before the device is offered anew. */
        FAILED
    }

    /** One step. */
    public enum Effect {
        NOTHING,
        /** Publish what we offer, with state 2. */
        OFFER,
        /** Open the store. */
        OPEN_STORE,
        /** Map the ring, bind the port, publish the properties, with state 4. */
        CONNECT,
        /** End the session: drain, unmap, unbind. */
        DISCONNECT,
        /** Forget a broken session, for the frontend has gone back. */
        MEND,
        CLOSE_STORE,
        /** Write state 5. */
        SAY_CLOSING,
        /** Write state 6. */
        SAY_CLOSED,
        /** The device is gone: nothing is held any more. */
        FORGET
    }

    private BackendMachine() {}

    /** The next step. */
    public static Effect next(Seen seen, Held held) {
        if (!seen.present()) {
            return release(held, Effect.FORGET);
        }
        if (!seen.online()) {
            return leave(seen, held);
        }
        return switch (seen.frontend()) {
            case INITIALISING, INIT_WAIT -> welcome(seen, held);
            case INITIALISED, CONNECTED -> serve(seen, held);
            case CLOSING ->
                switch (seen.own()) {
                    case CLOSING, CLOSED -> Effect.NOTHING;
                    default -> Effect.SAY_CLOSING;
                };
            case UNKNOWN, CLOSED -> part(seen, held);
            case RECONFIGURING, RECONFIGURED -> Effect.NOTHING; // used by no device that we serve
        };
    }

    /** The toolstack wants the device gone. A live frontend is waited for; libxl forces by removing its directory. */
    private static Effect leave(Seen seen, Held held) {
        boolean live = switch (seen.frontend()) {
            case INITIALISED, CONNECTED, CLOSING -> held.connected();
            default -> false;
        };
        if (live) {
            return seen.own() == XenbusState.CLOSING ? Effect.NOTHING : Effect.SAY_CLOSING;
        }
        return release(held, seen.own() == XenbusState.CLOSED ? Effect.NOTHING : Effect.SAY_CLOSED);
    }

    /** The frontend is at its beginning. */
    private static Effect welcome(Seen seen, Held held) {
        if (held.connected()) {
            return Effect.DISCONNECT; // it came back without a word: resume, kexec
        }
        if (held.broken()) {
            return Effect.MEND;
        }
        return switch (seen.own()) {
            case INIT_WAIT, INITIALISED -> open(held);
            case CLOSING -> Effect.SAY_CLOSED;
            default -> Effect.OFFER;
        };
    }

    /** The frontend is ready. */
    private static Effect serve(Seen seen, Held held) {
        if (held.broken()) {
            if (held.connected()) {
                return Effect.DISCONNECT;
            }
            return seen.own() == XenbusState.CLOSING || seen.own() == XenbusState.CLOSED
                    ? Effect.NOTHING
                    : Effect.SAY_CLOSING;
        }
        return switch (seen.own()) {
            case UNKNOWN, INITIALISING, CLOSED -> held.connected() ? Effect.DISCONNECT : Effect.OFFER;
            case INIT_WAIT, INITIALISED -> {
                if (held.connected()) {
                    yield Effect.DISCONNECT; // its 4 could not be written: begin anew, for no device has two sessions
                }
                Effect open = open(held);
                yield open != Effect.NOTHING || held.store() != Store.OPEN || !seen.hotplugOver()
                        ? open
                        : Effect.CONNECT;
            }
            // 4 without a session: left by a process that has died. Its ring cannot be entered safely.
            case CONNECTED, RECONFIGURING, RECONFIGURED -> Effect.NOTHING;
            case CLOSING -> Effect.NOTHING;
        };
    }

    /** The frontend has closed, or its directory is gone. */
    private static Effect part(Seen seen, Held held) {
        if (held.connected()) {
            return Effect.DISCONNECT;
        }
        if (held.broken()) {
            return Effect.MEND;
        }
        return switch (seen.own()) {
            case CLOSED -> Effect.NOTHING;
            case UNKNOWN, INITIALISING -> Effect.OFFER; // a fresh device over a stale frontend state
            default -> Effect.SAY_CLOSED;
        };
    }

    private static Effect open(Held held) {
        return held.store() == Store.CLOSED ? Effect.OPEN_STORE : Effect.NOTHING;
    }

    private static Effect release(Held held, Effect then) {
        if (held.connected()) {
            return Effect.DISCONNECT;
        }
        return held.store() == Store.OPEN ? Effect.CLOSE_STORE : then;
    }
}
