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
            case ServeEvent.NicAttached attached ->
                event("attached")
                        .put("interface", attached.interfaceName())
                        .put("domid", attached.domid())
                        .put("link", attached.link());
            case ServeEvent.NicConnected connected ->
                event("connected")
                        .put("interface", connected.interfaceName())
                        .put("domid", connected.domid())
                        .put("port", connected.port())
                        .put("queues", connected.queues());
            case ServeEvent.NicCarrier carrier ->
                event("carrier")
                        .put("interface", carrier.interfaceName())
                        .put("domid", carrier.domid())
                        .put("on", carrier.on());
            case ServeEvent.Cable cable ->
                event("cable")
                        .put("name", cable.name())
                        .put("interface", cable.interfaceName())
                        .put("domid", cable.domid())
                        .put("mac", cable.mac())
                        .put("mtu", cable.mtu())
                        .put("link", cable.where())
                        .put("namespace", cable.namespace())
                        .put("addresses", String.join(" ", cable.addresses()));
            case ServeEvent.Status status -> json(status);
            case ServeEvent.Detached detached ->
                event("detached").put("interface", detached.interfaceName()).put("domid", detached.domid());
            case ServeEvent.Failed failed -> event("error").put("message", failed.message());
            case ServeEvent.Stopped stopped -> event("stopped");
        };
    }

    private static JsonLine json(ServeEvent.Status status) {
        JsonLine line = event("status")
                .put("disks", status.disks().stream().map(JsonAnnouncer::json).toList());
        return status.nics().isEmpty()
                ? line
                : line.put(
                        "nics", status.nics().stream().map(JsonAnnouncer::json).toList());
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

    private static JsonLine json(NicTraffic traffic) {
        return new JsonLine()
                .put("name", traffic.name())
                .put("interface", traffic.interfaceName())
                .put("sentPerSecond", Math.round(traffic.sentPerSecond()))
                .put("sentBytesPerSecond", Math.round(traffic.sentBytesPerSecond()))
                .put("receivedPerSecond", Math.round(traffic.receivedPerSecond()))
                .put("receivedBytesPerSecond", Math.round(traffic.receivedBytesPerSecond()));
    }
}
