package xenback.daemon;

import xenback.block.backend.BlockEvent;
import xenback.block.protocol.Vdev;

/** Passes on what the block backend tells. */
record BlockEvents(Announcer announcer) {
    void on(BlockEvent event) {
        switch (event) {
            case BlockEvent.Attached attached ->
                announcer.tell(new ServeEvent.Attached(
                        attached.name(),
                        attached.domid(),
                        new Vdev(attached.vdev()),
                        attached.device(),
                        attached.sizeBytes(),
                        attached.readOnly()));
            case BlockEvent.Connected connected ->
                announcer.tell(new ServeEvent.Connected(
                        connected.name(),
                        connected.domid(),
                        new Vdev(connected.vdev()),
                        connected.port(),
                        connected.protocol(),
                        connected.queues()));
            case BlockEvent.Resized resized ->
                announcer.tell(
                        new ServeEvent.Resized(resized.name(), resized.domid(), resized.device(), resized.sizeBytes()));
            case BlockEvent.Detached detached ->
                announcer.tell(new ServeEvent.Detached(detached.name(), detached.domid()));
            case BlockEvent.CannotOpen cannot -> announcer.log(cannot.text());
            case BlockEvent.Disconnected disconnected -> announcer.log(disconnected.text());
        }
    }
}
