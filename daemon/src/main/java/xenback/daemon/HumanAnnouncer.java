package xenback.daemon;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Events as lines for people, with the words of xbdback(4) where it has words: exports on standard output, the rest on
 * standard error, rates on a line that changes.
 */
record HumanAnnouncer(Screen screen) implements Announcer {
    @Override
    public void tell(ServeEvent event) {
        switch (event) {
            case ServeEvent.Attached attached ->
                log(String.format(
                        Locale.ROOT,
                        "xbd backend: attach device %s (size %d) for domain %d",
                        attached.disk(),
                        attached.sizeBytes(),
                        attached.domid()));
            case ServeEvent.Connected connected ->
                log(String.format(
                        Locale.ROOT,
                        "xbd backend 0x%x for domain %d using event channel %d, protocol %s%s",
                        connected.vdev().number(),
                        connected.domid(),
                        connected.port(),
                        connected.abi(),
                        connected.queues() == 1 ? "" : ", " + connected.queues() + " queues"));
            case ServeEvent.Resized resized ->
                log(String.format(
                        Locale.ROOT,
                        "xbd backend: resize device %s (size %d) for domain %d",
                        resized.disk(),
                        resized.sizeBytes(),
                        resized.domid()));
            case ServeEvent.Export export ->
                screen.out(String.format(
                        "%s (%s of domain %d, %s%s): %s",
                        export.name(),
                        export.vdev(),
                        export.domid(),
                        ByteSize.text((double) export.sizeBytes()),
                        export.readOnly() ? ", read-only" : "",
                        export.uri()));
            case ServeEvent.NicAttached attached ->
                log("xnb backend: attach interface " + attached.interfaceName() + " (" + attached.link()
                        + ") for domain " + attached.domid());
            case ServeEvent.NicConnected connected ->
                log("xnb backend: " + connected.interfaceName() + " for domain " + connected.domid()
                        + " using event channel " + connected.port()
                        + (connected.queues() == 1 ? "" : ", " + connected.queues() + " queues"));
            case ServeEvent.NicCarrier carrier ->
                log("xnb backend: " + carrier.interfaceName() + " has " + (carrier.on() ? "a" : "no") + " carrier");
            case ServeEvent.Cable cable -> screen.out(cableLine(cable));
            case ServeEvent.Status status -> screen.status(statusLine(status.disks(), status.nics()));
            case ServeEvent.Detached detached ->
                log(String.format(
                        Locale.ROOT, "detach device %s for domain %d", detached.interfaceName(), detached.domid()));
            case ServeEvent.Failed failed -> screen.err("xenback: " + failed.message());
            case ServeEvent.Stopped stopped -> {}
        }
    }

    @Override
    public void log(String line) {
        screen.err(line);
    }

    /** Such as {@code xn0 (00:16:3e:00:00:01 of domain 1, mtu 1500, 10.0.0.2/24 in g1) - xnb1i0: tap xnb1i0}. */
    static String cableLine(ServeEvent.Cable cable) {
        String addresses = cable.addresses().isEmpty() ? "" : ", " + String.join(" ", cable.addresses());
        return cable.name() + " (" + cable.mac() + " of domain " + cable.domid() + ", mtu " + cable.mtu() + addresses
                + (cable.namespace().isEmpty() ? "" : ", in namespace " + cable.namespace()) + ") - "
                + cable.interfaceName() + ": " + cable.where();
    }

    /**
     * One line for all, such as {@code xbd0 read 12.5 MiB/s 3200/s write 0 B/s 0/s queue 32 | xn0 sent 1.2 GiB/s 20000/s received
     * 0 B/s 0/s}.
     */
    static String statusLine(List<DiskRate> disks, List<NicTraffic> nics) {
        List<String> texts = new ArrayList<>();
        for (DiskRate disk : disks) {
            texts.add(String.format(
                    Locale.ROOT,
                    "%s read %s/s %.0f/s write %s/s %.0f/s queue %d",
                    disk.name(),
                    ByteSize.text(disk.readBytesPerSecond()),
                    disk.readsPerSecond(),
                    ByteSize.text(disk.writtenBytesPerSecond()),
                    disk.writesPerSecond(),
                    disk.queueDepth()));
        }
        for (NicTraffic nic : nics) {
            texts.add(String.format(
                    Locale.ROOT,
                    "%s sent %s/s %.0f/s received %s/s %.0f/s",
                    nic.name(),
                    ByteSize.text(nic.sentBytesPerSecond()),
                    nic.sentPerSecond(),
                    ByteSize.text(nic.receivedBytesPerSecond()),
                    nic.receivedPerSecond()));
        }
        return String.join(" | ", texts);
    }
}
