package xenback.xen.event;

import xenback.xen.XenException;
import xenback.xen.io.EventLoop;

/**
 * One open set of event channels, with the rules of /dev/xen/evtchn: a port is masked when its event is delivered and
 * stays masked until {@link #unmask}; an event that arrives while masked is kept (one bit) and delivered after the
 * unmask. Unmask after the sweep, then look at the ring once more, or a wake-up is lost.
 *
 * <p>Binding may be done by any thread; {@link #takePending} by one thread at a time; {@link #notifyPort} and
 * {@link #unmask} by any thread.
 */
public interface EventChannels extends AutoCloseable {
    /**
     * Has {@code onEvent} called on {@code loop} when an unmasked port of this set has an event, those before this call
     * included. One listener per set; {@link #close} ends it. What it is to do first is {@link #takePending}.
     */
    void listen(EventLoop loop, EventLoop.TurnEnd onEvent);

    /** Binds a local port to a port that the remote domain left unbound for us. Returns the local port. */
    int bindInterdomain(int remoteDomid, int remotePort) throws XenException;

    /** Makes a local port that the remote domain may bind to. Returns the local port. */
    int bindUnbound(int remoteDomid) throws XenException;

    /** Closes a port; the other end's notifications go nowhere from then on. */
    void unbind(int port) throws XenException;

    /** Sends an event to the other end of {@code port}. Does nothing if nobody is bound there. No allocation. */
    void notifyPort(int port);

    /**
     * Takes delivered ports into {@code ports}, each of which is masked now. Never blocks, no allocation. Returns how
     * many were taken, at most {@code ports.length}.
     */
    int takePending(int[] ports);

    /** Allows delivery on {@code port} again; an event kept meanwhile is delivered at once. */
    void unmask(int port);

    /** Unbinds every port of this set. */
    @Override
    void close();
}
