package xenback.daemon;

/** Events as JSON, one object per line on standard output; the log stays on standard error. */
record JsonAnnouncer(Screen screen) implements Announcer {
    @Override
    public void tell(ServeEvent event) {
        screen.out(json(event).toString());
    }

    @Override
    public void log(String line) {
        screen.err(line);
    }

    static JsonLine json(ServeEvent event) {
        return switch (event) {
            case ServeEvent.Attached attached ->
                event("attached")
                        .put("interface", attached.interfaceName())
                        .put("domid", attached.domid())
                        .put("vdev", attached.vdev().name())
                        .put("number", attached.vdev().number())
                        .put("disk", attached.disk())
                        .put("sizeBytes", attached.sizeBytes())
                        .put("readOnly", attached.readOnly());
            case ServeEvent.Connected connected ->
                event("connected")
                        .put("interface", connected.interfaceName())
                        .put("domid", connected.domid())
                        .put("vdev", connected.vdev().name())
                        .put("port", connected.port())
                        .put("protocol", connected.abi())
                        .put("queues", connected.queues());
            case ServeEvent.Resized resized ->
                event("resized")
                        .put("interface", resized.interfaceName())
                        .put("domid", resized.domid())
                        .put("disk", resized.disk())
                        .put("sizeBytes", resized.sizeBytes());
            case ServeEvent.Export export ->
                event("export")
                        .put("name", export.name())
                        .put("interface", export.interfaceName())
                        .put("domid", export.domid())
                        .put("vdev", export.vdev().name())
                        .put("sizeBytes", export.sizeBytes())
                        .put("readOnly", export.readOnly())
                        .put("uri", export.uri());
            case ServeEvent.Status status ->
                event("status")
                        .put(
                                "disks",
                                status.disks().stream().map(JsonAnnouncer::json).toList());
            case ServeEvent.Detached detached ->
                event("detached").put("interface", detached.interfaceName()).put("domid", detached.domid());
            case ServeEvent.Failed failed -> event("error").put("message", failed.message());
            case ServeEvent.Stopped stopped -> event("stopped");
        };
    }

    private static JsonLine event(String name) {
        return new JsonLine().put("event", name);
    }

    private static JsonLine json(DiskRate rate) {
        return new JsonLine()
                .put("name", rate.name())
                .put("interface", rate.interfaceName())
                .put("readsPerSecond", Math.round(rate.readsPerSecond()))
                .put("readBytesPerSecond", Math.round(rate.readBytesPerSecond()))
                .put("writesPerSecond", Math.round(rate.writesPerSecond()))
                .put("writtenBytesPerSecond", Math.round(rate.writtenBytesPerSecond()))
                .put("queueDepth", rate.queueDepth());
    }
}
