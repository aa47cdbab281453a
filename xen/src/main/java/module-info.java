/**
 * What Xen gives a domain (XenStore, event channels, grant tables, shared rings), the split-driver handshake on top of
 * it, and the event loop that drives both.
 */
@org.jspecify.annotations.NullMarked
module xenback.xen {
    requires static transitive org.jspecify;

    exports xenback.xen; // the port to a hypervisor
    exports xenback.xen.store;
    exports xenback.xen.event;
    exports xenback.xen.grant;
    exports xenback.xen.embedded;
    exports xenback.xen.host;
    exports xenback.xen.io;
    exports xenback.xen.bus; // drivers implement its interfaces
    exports xenback.xen.ring; // rings are spoken by the device protocols
}
