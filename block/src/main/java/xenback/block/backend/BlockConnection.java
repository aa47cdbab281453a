package xenback.block.backend;

import xenback.block.protocol.Abi;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantTable;
import xenback.xen.io.EventLoop;

/**
 * What a queue needs of the hypervisor and of its session.
 *
 * @param name the interface, {@code xbdback1i51712}
 * @param guestDomid the frontend's domain
 * @param events the set that holds {@code port}
 * @param port our end of the event channel
 */
record BlockConnection(
        String name, int guestDomid, Abi abi, EventLoop loop, EventChannels events, int port, GrantTable grants) {}
