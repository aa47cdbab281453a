package xenback.xen.embedded;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import xenback.xen.Errno;
import xenback.xen.XenException;

/**
 * The ports of one domain. Structure changes under one lock for all domains ({@code hypervisor}), as both ends change
 * together; the data path only reads {@link #port}.
 */
final class EventPorts {
    /** Xen's default for max_event_channels: ports 1 to 1023. */
    static final int PORT_LIMIT = 1024;

    private final int domid;
    private final Object hypervisor;
    private volatile @Nullable EventPort[] ports = new EventPort[16];

    EventPorts(int domid, Object hypervisor) {
        this.domid = domid;
        this.hypervisor = hypervisor;
    }

    @Nullable
    EventPort port(int number) {
        @Nullable EventPort[] now = ports;
        return number > 0 && number < now.length ? now[number] : null;
    }

    EventPort allocate(int remoteDomid, EmbeddedEventChannels set) throws XenException {
        synchronized (hypervisor) {
            @Nullable EventPort[] now = ports;
            int free = 1;
            while (free < now.length && now[free] != null) {
                free++;
            }
            if (free == PORT_LIMIT) {
                throw new XenException(Errno.ENOSPC, "domain " + domid + " has no event channel left");
            }
            // A copy, so that readers without the lock see either the old or the new table.
            @Nullable EventPort[] next = Arrays.copyOf(now, Math.max(now.length, Math.min(PORT_LIMIT, free * 2)));
            EventPort port = new EventPort(free, remoteDomid, set);
            next[free] = port;
            ports = next;
            return port;
        }
    }

    /** Joins a new port of ours to an unbound one of {@code remote} that was reserved for us. */
    EventPort bind(EventPorts remote, int remotePort, EmbeddedEventChannels set) throws XenException {
        synchronized (hypervisor) {
            EventPort other = remote.port(remotePort);
            if (other == null || other.peer != null || other.remoteDomid != domid) {
                throw new XenException(
                        Errno.EINVAL,
                        "domain " + remote.domid + " has no port " + remotePort + " that is free for domain " + domid);
            }
            EventPort port = allocate(remote.domid, set);
            port.peer = other;
            other.peer = port;
            // An event sent while the remote port was unbound is lost; Xen makes up for it by one here
            // (event_channel.c, evtchn_bind_interdomain).
            port.raise();
            return port;
        }
    }

    /** Closes a port. The other end falls back to unbound for the same domain (event_channel.c, evtchn_close). */
    void close(int number) {
        synchronized (hypervisor) {
            EventPort port = port(number);
            if (port == null) {
                return;
            }
            EventPort peer = port.peer;
            if (peer != null) {
                peer.peer = null;
                port.peer = null;
            }
            @Nullable EventPort[] next = ports.clone();
            next[number] = null;
            ports = next;
        }
    }

    /** The end of the domain. */
    void closeAll() {
        for (EventPort port : ports) {
            if (port != null) {
                close(port.number);
            }
        }
    }

    /** Ports in use, for leak checks. */
    int count() {
        int count = 0;
        for (EventPort port : ports) {
            if (port != null) {
                count++;
            }
        }
        return count;
    }
}
