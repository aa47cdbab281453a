package xenback.net.backend;

/** What an interface's users are told. */
public sealed interface NetEvent {
    /** As from xnb(4), {@code xnb1i0}. */
    String name();

    /** The link is there. */
    record Attached(String name, String link, int domid) implements NetEvent {}

    /** It cannot be opened; why, and the errno. */
    record CannotOpen(String name, String xenbusPath, int errno, String why) implements NetEvent {}

    /** Both ends are at 4. */
    record Connected(String name, int domid, int port, int queues) implements NetEvent {}

    /** The guest takes frames; or it does so no longer, and the link has lost its carrier. */
    record Carrier(String name, int domid, boolean on) implements NetEvent {}

    /** The session has ended. */
    record Disconnected(String name, int domid, long txPackets, long rxPackets) implements NetEvent {}

    /** The link is given back. */
    record Detached(String name, String link, int domid) implements NetEvent {}

    /** Told on the device's control thread. */
    @FunctionalInterface
    interface Listener {
        void on(NetEvent event);
    }
}
