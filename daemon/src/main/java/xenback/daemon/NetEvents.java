package xenback.daemon;

import xenback.net.backend.NetEvent;

/** Passes on what the network backend tells. */
record NetEvents(Announcer announcer) {
    void on(NetEvent event) {
        switch (event) {
            case NetEvent.Attached attached ->
                announcer.tell(new ServeEvent.NicAttached(attached.name(), attached.domid(), attached.link()));
            case NetEvent.Connected connected ->
                announcer.tell(new ServeEvent.NicConnected(
                        connected.name(), connected.domid(), connected.port(), connected.queues()));
            case NetEvent.Carrier carrier ->
                announcer.tell(new ServeEvent.NicCarrier(carrier.name(), carrier.domid(), carrier.on()));
            case NetEvent.Detached detached ->
                announcer.tell(new ServeEvent.Detached(detached.name(), detached.domid()));
            case NetEvent.CannotOpen cannot ->
                announcer.log(
                        "xnb backend: can't open " + cannot.name() + " (" + cannot.xenbusPath() + "): " + cannot.why());
            case NetEvent.Disconnected disconnected ->
                announcer.log("xnb backend: " + disconnected.name() + " disconnected from domain "
                        + disconnected.domid() + " after " + disconnected.txPackets() + " packets from it and "
                        + disconnected.rxPackets() + " to it");
        }
    }
}
