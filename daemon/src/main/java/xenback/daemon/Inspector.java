package xenback.daemon;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.SequencedMap;
import java.util.function.Supplier;

/** What there is to see of a running {@code serve}, as text. Any thread. */
final class Inspector {
    private static final String ROW = "%-16s %-16s %6s  %s%n";

    private final Serving serving;

    Inspector(Serving serving) {
        this.serving = serving;
    }

    /** All disks and interfaces: a table, or JSON, an object per line. */
    String list(boolean json) {
        StringBuilder text = new StringBuilder();
        if (!json) {
            text.append(String.format(Locale.ROOT, ROW, "INTERFACE", "FRONTEND", "DOMID", "WHAT"));
        }
        for (DiskView disk : serving.disks()) {
            text.append(json ? json(disk) + "\n" : row(disk));
        }
        for (NicView nic : serving.nics()) {
            text.append(json ? json(nic) + "\n" : row(nic));
        }
        return text.toString();
    }

    private static String row(DiskView disk) {
        String what = disk.vdev().name() + ", "
                + ByteSize.text((double) disk.row().disk().sizeBytes()) + ", "
                + disk.row().disk().name();
        return String.format(
                Locale.ROOT, ROW, disk.interfaceName(), disk.name(), disk.row().domid(), what);
    }

    private static String row(NicView nic) {
        String what = nic.mac() + ", " + nic.where();
        return String.format(
                Locale.ROOT, ROW, nic.interfaceName(), nic.name(), nic.row().domid(), what);
    }

    private static JsonLine json(DiskView disk) {
        return new JsonLine()
                .put("kind", "disk")
                .put("interface", disk.interfaceName())
                .put("name", disk.name())
                .put("domid", disk.row().domid())
                .put("vdev", disk.vdev().name())
                .put("disk", disk.row().disk().name())
                .put("sizeBytes", disk.row().disk().sizeBytes())
                .put("readOnly", disk.row().disk().readOnly())
                .put("reads", disk.row().counters().reads())
                .put("readBytes", disk.row().counters().bytesRead())
                .put("writes", disk.row().counters().writes())
                .put("writtenBytes", disk.row().counters().bytesWritten());
    }

    private static JsonLine json(NicView nic) {
        return new JsonLine()
                .put("kind", "nic")
                .put("interface", nic.interfaceName())
                .put("name", nic.name())
                .put("domid", nic.row().domid())
                .put("mac", nic.mac())
                .put("link", nic.where())
                .put("sent", nic.row().counters().txPackets())
                .put("sentBytes", nic.row().counters().txBytes())
                .put("received", nic.row().counters().rxPackets())
                .put("receivedBytes", nic.row().counters().rxBytes());
    }

    /**
     * Values by their names.
     *
     * @param arguments names, or the beginnings of names up to a point; {@code -a} for all; {@code -n} for values without their
     *     names; {@code -N} for names without their values; {@code --json}
     */
    String sysctl(List<String> arguments) throws UserError {
        SequencedMap<String, Supplier<String>> knobs = Knobs.of(serving);
        List<String> wanted = new ArrayList<>();
        for (String name : arguments) {
            if (name.startsWith("-")) {
                continue;
            }
            List<String> found = knobs.keySet().stream()
                    .filter(knob -> knob.equals(name) || knob.startsWith(name + "."))
                    .toList();
            if (found.isEmpty()) {
                throw UserError.failure("unknown oid '" + name + "'; see: xenback sysctl -a -N");
            }
            wanted.addAll(found);
        }
        if (arguments.contains("-a")) {
            wanted = List.copyOf(knobs.keySet());
        }
        StringBuilder text = new StringBuilder();
        for (String name : wanted) {
            String value = arguments.contains("-N")
                    ? ""
                    : Objects.requireNonNull(knobs.get(name), name).get();
            text.append(shown(name, value, arguments)).append('\n');
        }
        return text.toString();
    }

    private static String shown(String name, String value, List<String> arguments) {
        if (arguments.contains("-N")) {
            return name;
        }
        if (arguments.contains("--json")) {
            return new JsonLine().put("name", name).put("value", value).toString();
        }
        if (arguments.contains("-n")) {
            return value;
        }
        return name + (value.contains("\n") ? ":\n" : ": ") + value;
    }

    /** The interfaces of these names: {@code xnb0} as in {@code dev.xnb.0}, {@code xnb1i0}, or the frontend's {@code xn0}. */
    List<NicView> capturable(List<String> names) throws UserError {
        List<NicView> all = serving.nics();
        List<NicView> chosen = new ArrayList<>();
        for (String name : names) {
            NicView found = null;
            for (int i = 0; i < all.size(); i++) {
                NicView nic = all.get(i);
                if (name.equals("xnb" + i) || name.equals(nic.interfaceName()) || name.equals(nic.name())) {
                    found = nic;
                }
            }
            if (found == null) {
                throw UserError.failure("no interface '" + name + "'; see: xenback list");
            }
            if (found.link().isEmpty()) {
                throw UserError.failure(name + ": cannot be captured");
            }
            if (!chosen.contains(found)) {
                chosen.add(found);
            }
        }
        if (chosen.isEmpty() || chosen.size() > 64) {
            throw UserError.usage("capture takes 1 to 64 interfaces");
        }
        return chosen;
    }
}
