package xenback.block.backend;

import xenback.block.protocol.Abi;
import xenback.block.protocol.Offered;
import xenback.xen.event.EventChannels;
import xenback.xen.grant.GrantTable;
import xenback.xen.io.EventLoop;

/**
 * What a queue needs of the hypervisor and of its session.
 *
 * @param name the interface, {@code xbdback1i51712}
 * @param guestDomid the frontend's domain
 * @param offered the operations that the frontend was told of
 * @param persistent whether the frontend keeps its pages granted, and we may keep them mapped
 * @param events the set that holds {@code port}
 * @param port our end of the event channel
 * @param grants used by this queue alone
 */
record BlockConnection(
        String name,
        int guestDomid,
        Abi abi,
        Offered offered,
        boolean persistent,
        EventLoop loop,
        EventChannels events,
        int port,
        GrantTable grants,
        BlockSession.Ties ties) {}
