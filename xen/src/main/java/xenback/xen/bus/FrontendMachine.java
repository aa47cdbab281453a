package xenback.xen.bus;

/**
 * What a frontend does next, as a pure function; the mirror image of {@link BackendMachine}.
 *
 * <pre>
 *   backend \ own   1                3               4                5                6
 *   2               prepare -> 3     -               detach -> 6      detach -> 6      release
 *   4               -                attach -> 4     -                detach -> 6      -
 *   5               -                -> 6            -> 5             detach -> 6      -
 *   6               release          -> 6            -> 5             detach -> 6      release
 *   gone            -> 6             -> 6            -> 5             detach -> 6      release
 * </pre>
 *
 * At 1 an end that comes back (boot loader, kexec) may still find the 5 or 6 of its former life: it waits, for the backend
 * goes back to 2 when it sees the 1. To answer 6 would be the end of both.
 */
public final class FrontendMachine {
    /**
     * What the store says.
     *
     * @param present false once the frontend's directory is gone
     * @param own our {@code state}
     * @param backend the backend's, {@link XenbusState#UNKNOWN} when its directory is gone
     */
    public record Seen(boolean present, XenbusState own, XenbusState backend) {}

    /**
     * What this end holds.
     *
     * @param prepared rings are made and a port is open
     * @param attached the device is in use
     */
    public record Held(boolean prepared, boolean attached) {
        static final Held NOTHING = new Held(false, false);
    }

    /** One step. */
    public enum Effect {
        NOTHING,
        /** Make rings and port, publish them, with state 3. */
        PREPARE,
        /** Read the backend's properties and begin to use the device, with state 4. */
        ATTACH,
        /** Stop using the device: requests in flight finish or fail. */
        DETACH,
        /** Give rings and port back. */
        RELEASE,
        SAY_CLOSING,
        SAY_CLOSED,
        FORGET
    }

    private FrontendMachine() {}

    /** The next step. */
    public static Effect next(Seen seen, Held held) {
        if (!seen.present()) {
            return release(held, Effect.FORGET);
        }
        return switch (seen.backend()) {
            case INIT_WAIT ->
                switch (seen.own()) {
                    case INITIALISING -> release(held, Effect.PREPARE);
                    case CONNECTED, CLOSING -> detach(held, Effect.SAY_CLOSED);
                    case CLOSED -> release(held, Effect.NOTHING);
                    default -> Effect.NOTHING;
                };
            case CONNECTED ->
                switch (seen.own()) {
                    // 4 while we are at 1 is an older session's: its backend goes back to 2 when it sees our 1.
                    case INITIALISED -> held.prepared() ? Effect.ATTACH : Effect.NOTHING;
                    case CLOSING -> detach(held, Effect.SAY_CLOSED);
                    default -> Effect.NOTHING;
                };
            case CLOSING -> seen.own() == XenbusState.INITIALISING ? Effect.NOTHING : leave(seen, held, Effect.NOTHING);
            // Only now has the backend let go of our pages, so that they can be taken back.
            case CLOSED ->
                seen.own() == XenbusState.INITIALISING
                        ? release(held, Effect.NOTHING)
                        : leave(seen, held, release(held, Effect.NOTHING));
            case UNKNOWN -> leave(seen, held, release(held, Effect.NOTHING));
            default -> Effect.NOTHING;
        };
    }

    private static Effect leave(Seen seen, Held held, Effect whenClosed) {
        return switch (seen.own()) {
            case CLOSED -> whenClosed;
            case CONNECTED -> Effect.SAY_CLOSING;
            default -> detach(held, Effect.SAY_CLOSED);
        };
    }

    private static Effect detach(Held held, Effect then) {
        return held.attached() ? Effect.DETACH : then;
    }

    private static Effect release(Held held, Effect then) {
        if (held.attached()) {
            return Effect.DETACH;
        }
        return held.prepared() ? Effect.RELEASE : then;
    }
}
