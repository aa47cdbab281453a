package xenback.xen.bus;

/**
 * What a backend does next, as a pure function of what the store says and what this process holds. Level-triggered: it is
 * asked again after every effect and after every watch, so a repeated state, a spurious watch or a restart is harmless, and
 * {@link Effect#NOTHING} is its rest. For an online device, from top to bottom of a cell:
 *
 * <pre>
 *   frontend \ own   1             2, 3              4                     5                     6
 *   any              drop all,     until the script  -                     -                     drop
 *                    offer -> 2    is over: open
 *   1, 2             .             open              drop, offer -> 2      drop -> 6             offer -> 2
 *   3                .             open,             new rings: drop,      new rings: drop,      offer -> 2
 *                                  connect -> 4      offer -> 2            offer -> 2
 *   4                .             open,             new rings: drop,      wait for the          offer -> 2
 *                                  connect -> 4      offer -> 2            frontend
 *   5                .             -> 5              -> 5                  wait for the frontend -
 *   6 or gone        .             drop -> 6         drop -> 6             drop -> 6             -
 *   7                .             -                 reconfigure -> 8      -                     -
 * </pre>
 *
 * At 8 it is as at 4, and goes back there when the frontend does.
 *
 * State 1 is the toolstack's: a directory at 1 while something is held was removed and written anew before anybody looked,
 * and its store may be another one. A frontend that has been past 3 in this session and is at 3 again has made new rings
 * (resume on the same host, checkpoint; Linux' xen-blkback connects anew from there too), and so has one whose nodes name
 * others than the session's. A 4 of ours without session and store was left by a process that has died: its rings cannot be
 * entered safely, and it stays.
 *
 * <p>A 6 that is not ours is the toolstack's, and means {@code online} = 0 ({@link BackendDevice}).
 *
 * <p>With {@code online} = 0 everything leads to 6 with nothing held: at once without a live frontend, after it has closed
 * with one. A session whose ring is broken is ended at once, closed with 5, and gets no successor before the frontend has
 * gone back. The cases are those of QEMU's xen-bus and Linux' xen-blkback: a frontend may go straight to 4 (mini-os), may be
 * ready before the store (Linux), and comes back after 6 with 1 (boot loader) or without a word (kexec).
 */
public final class BackendMachine {
    /**
     * What the store says.
     *
     * @param present false once the backend directory is gone
     * @param own our {@code state}
     * @param frontend the frontend's {@code state}, {@link XenbusState#UNKNOWN} when its directory is gone
     * @param online the toolstack's {@code online}
     * @param hotplugOver the hotplug script is done, or none came within its time: libxl must have seen state 2; false for
     *     ever if the script has failed
     */
    public record Seen(boolean present, XenbusState own, XenbusState frontend, boolean online, boolean hotplugOver) {}

    /**
     * What this process holds.
     *
     * @param store what became of the store behind the device
     * @param connected a session is running
     * @param met the frontend has been seen past 3 in this session
     * @param outdated the frontend's nodes name other rings than the session's
     * @param broken the session's ring was broken by the guest: no new one before the frontend has gone back
     */
    public record Held(Store store, boolean connected, boolean met, boolean outdated, boolean broken) {
        static final Held NOTHING = new Held(Store.CLOSED, false, false, false, false);

        Held with(Store other) {
            return new Held(other, connected, met, outdated, broken);
        }

        /** A session begins or ends. */
        Held withConnected(boolean other) {
            return new Held(store, other, false, false, broken);
        }

        Held withOutdated(boolean other) {
            return new Held(store, connected, met, other, broken);
        }

        Held withBroken(boolean other) {
            return new Held(store, connected, met, outdated, other);
        }

        /** What is learnt from a look. */
        Held noting(Seen seen) {
            boolean past = seen.frontend() == XenbusState.CONNECTED || seen.frontend() == XenbusState.CLOSING;
            return new Held(store, connected, connected && (met || past), connected && outdated, broken);
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
        /** Take what the frontend has changed, with state 8. */
        RECONFIGURE,
        /** Write state 4 again, after 8. */
        SAY_CONNECTED,
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
        if (held.connected() && (held.broken() || seen.own() == XenbusState.CLOSED)) {
            return Effect.DISCONNECT;
        }
        if (isFresh(seen.own())) {
            return begin(seen, held);
        }
        if (!seen.online()) {
            return leave(seen, held);
        }
        if (isWaiting(seen.own()) && !seen.hotplugOver()) {
            return held.connected() ? Effect.DISCONNECT : open(held); // libxl must see the 2, whatever the guest does
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
            case RECONFIGURING ->
                held.connected() && seen.own() == XenbusState.CONNECTED ? Effect.RECONFIGURE : Effect.NOTHING;
            case RECONFIGURED -> Effect.NOTHING; // no frontend's state
        };
    }

    /** The directory is as the toolstack has written it. */
    private static Effect begin(Seen seen, Held held) {
        if (held.connected() || held.store() == Store.OPEN) {
            return release(held, Effect.NOTHING);
        }
        if (held.broken()) {
            return Effect.MEND;
        }
        return seen.online() ? Effect.OFFER : Effect.SAY_CLOSED;
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
            return seen.own() == XenbusState.CLOSING || seen.own() == XenbusState.CLOSED
                    ? Effect.NOTHING
                    : Effect.SAY_CLOSING;
        }
        boolean newRings = held.outdated() || held.met() && seen.frontend() == XenbusState.INITIALISED;
        if (held.connected() && (newRings || isWaiting(seen.own()))) {
            return Effect.DISCONNECT; // at 2, its 4 could not be written: begin anew, for no device has two sessions
        }
        return switch (seen.own()) {
            case INIT_WAIT, INITIALISED -> held.store() == Store.OPEN ? Effect.CONNECT : open(held);
            case CONNECTED -> !held.connected() && held.store() == Store.OPEN ? Effect.OFFER : Effect.NOTHING;
            case CLOSING ->
                !held.connected() && seen.frontend() == XenbusState.INITIALISED ? Effect.OFFER : Effect.NOTHING;
            case CLOSED -> Effect.OFFER;
            case RECONFIGURED -> held.connected() ? Effect.SAY_CONNECTED : Effect.NOTHING;
            default -> Effect.NOTHING;
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
        return seen.own() == XenbusState.CLOSED ? Effect.NOTHING : Effect.SAY_CLOSED;
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

    /** No backend has been at this directory since the toolstack wrote it. */
    private static boolean isFresh(XenbusState own) {
        return own == XenbusState.UNKNOWN || own == XenbusState.INITIALISING;
    }

    private static boolean isWaiting(XenbusState own) {
        return own == XenbusState.INIT_WAIT || own == XenbusState.INITIALISED;
    }
}
