package xenback.xen.embedded;

import java.util.BitSet;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.event.EventChannels;
import xenback.xen.io.EventLoop;

/** What an open /dev/xen/evtchn is on a host, for one domain of the embedded Xen. */
final class EmbeddedEventChannels implements EventChannels {
    private final EmbeddedXen xen;
    private final EventPorts ports;

    // Under the lock of this object. Only open ports are queued, each at most once (it is masked then), so the queue
    // cannot overflow: it has room for one port more than a domain can have.
    private final EventPort[] queue = new EventPort[EventPorts.PORT_LIMIT];
    private int head;
    private int tail;
    private final BitSet own = new BitSet();
    private @Nullable EventLoop loop;
    private EventLoop.@Nullable TurnEnd onEvent;
    private boolean closed;

    EmbeddedEventChannels(EmbeddedXen xen, EventPorts ports) {
        this.xen = xen;
        this.ports = ports;
    }

    @Override
    public synchronized void listen(EventLoop loop, EventLoop.TurnEnd onEvent) {
        this.loop = loop;
        this.onEvent = onEvent;
        signalIfPending();
    }

    @Override
    public int bindInterdomain(int remoteDomid, int remotePort) throws XenException {
        return adopt(ports.bind(xen.domain(remoteDomid).eventPorts(), remotePort, this));
    }

    @Override
    public int bindUnbound(int remoteDomid) throws XenException {
        return adopt(ports.allocate(remoteDomid, this));
    }

    @Override
    public void unbind(int port) throws XenException {
        synchronized (this) {
            if (!own.get(port)) {
                throw new XenException(Errno.ENOTCONN, "event channel " + port + " is not bound here");
            }
            own.clear(port);
        }
        ports.close(port);
        purge();
    }

    @Override
    public void notifyPort(int port) {
        EventPort local = ports.port(port);
        if (local != null && local.set == this) {
            EventPort peer = local.peer;
            if (peer != null) {
                peer.raise();
            }
        }
    }

    @Override
    public synchronized int takePending(int[] into) {
        int count = 0;
        while (count < into.length && head != tail) {
            into[count++] = queue[head].number;
            head = (head + 1) % queue.length;
        }
        signalIfPending();
        return count;
    }

    @Override
    public void unmask(int port) {
        EventPort local = ports.port(port);
        if (local != null && local.set == this) {
            local.unmask();
        }
    }

    @Override
    public void close() {
        BitSet leaving;
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
            leaving = (BitSet) own.clone();
            own.clear();
            loop = null;
            onEvent = null;
        }
        leaving.stream().forEach(ports::close);
    }

    /** Called by a port that has just been masked. */
    synchronized void deliver(EventPort port) {
        // A port that was closed under its event is not queued: its number may soon be another's (XSA-331).
        if (!closed && isOpen(port)) {
            queue[tail] = port;
            tail = (tail + 1) % queue.length;
            signalIfPending();
        }
    }

    private void signalIfPending() {
        if (head != tail && loop != null && onEvent != null) {
            loop.signal(onEvent); // once however often, and without a system call between two ends on one loop
        }
    }

    /** Drops what is queued for ports that are closed. */
    private synchronized void purge() {
        int end = tail;
        tail = head;
        for (int at = head; at != end; at = (at + 1) % queue.length) {
            EventPort port = queue[at];
            if (isOpen(port)) {
                queue[tail] = port;
                tail = (tail + 1) % queue.length;
            }
        }
    }

    private boolean isOpen(EventPort port) {
        return ports.port(port.number) == port;
    }

    private synchronized int adopt(EventPort port) throws XenException {
        if (closed) {
            ports.close(port.number);
            throw new XenException(Errno.EBADF, "these event channels are closed");
        }
        own.set(port.number);
        return port.number;
    }
}
