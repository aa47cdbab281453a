package xenback.daemon;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.function.Supplier;
import xenback.block.backend.BlockCounters;
import xenback.block.protocol.Rule;
import xenback.net.backend.NetCounters;
import xenback.net.backend.NetDrop;
import xenback.net.backend.UnitSuite;
import xenback.net.protocol.NetRule;
import xenback.xen.XenException;

/**
 * What {@code xenback sysctl} knows, under names as xnb(4) has them: {@code dev.xnb.UNIT.} and {@code dev.xbdback.UNIT.}, the units
 * numbered in the order of {@code xenback list}. A value is made when it is asked for.
 */
final class Knobs {
    private static final String NOT_CONNECTED = "not connected";

    private Knobs() {}

    static SequencedMap<String, Supplier<String>> of(Serving serving) {
        SequencedMap<String, Supplier<String>> knobs = new LinkedHashMap<>();
        List<DiskView> disks = serving.disks();
        for (int i = 0; i < disks.size(); i++) {
            putDisk(knobs, "dev.xbdback." + i + ".", disks.get(i));
        }
        List<NicView> nics = serving.nics();
        for (int i = 0; i < nics.size(); i++) {
            putNic(knobs, "dev.xnb." + i + ".", nics.get(i));
        }
        return knobs;
    }

    private static void putDisk(SequencedMap<String, Supplier<String>> knobs, String unit, DiskView disk) {
        BlockCounters counters = disk.row().counters();
        knobs.put(unit + "interface", disk::interfaceName);
        knobs.put(unit + "frontend", disk::name);
        knobs.put(unit + "domid", () -> Integer.toString(disk.row().domid()));
        knobs.put(unit + "vdev", () -> disk.vdev().name());
        knobs.put(unit + "disk", () -> disk.row().disk().name());
        knobs.put(unit + "size", () -> Long.toString(disk.row().disk().sizeBytes()));
        knobs.put(unit + "reads", () -> Long.toString(counters.reads()));
        knobs.put(unit + "read_bytes", () -> Long.toString(counters.bytesRead()));
        knobs.put(unit + "writes", () -> Long.toString(counters.writes()));
        knobs.put(unit + "written_bytes", () -> Long.toString(counters.bytesWritten()));
        knobs.put(unit + "in_flight", () -> Long.toString(counters.inFlight()));
        knobs.put(unit + "events", () -> Long.toString(counters.events()));
        knobs.put(unit + "notifications", () -> Long.toString(counters.notifications()));
        knobs.put(unit + "violations", () -> {
            StringBuilder text = new StringBuilder();
            for (Rule rule : Rule.values()) {
                append(text, rule.toString(), counters.violations(rule));
            }
            return text.isEmpty() ? "none" : text.toString();
        });
        knobs.put(unit + "dump_rings", () -> rings(disk.rings()));
    }

    private static void putNic(SequencedMap<String, Supplier<String>> knobs, String unit, NicView nic) {
        NetCounters counters = nic.row().counters();
        knobs.put(unit + "interface", nic::interfaceName);
        knobs.put(unit + "frontend", nic::name);
        knobs.put(unit + "domid", () -> Integer.toString(nic.row().domid()));
        knobs.put(unit + "mac", nic::mac);
        knobs.put(unit + "link", nic::where);
        knobs.put(unit + "mtu", () -> mtu(nic));
        knobs.put(unit + "tx_packets", () -> Long.toString(counters.txPackets()));
        knobs.put(unit + "tx_bytes", () -> Long.toString(counters.txBytes()));
        knobs.put(unit + "tx_refused", () -> Long.toString(counters.txRefused()));
        knobs.put(unit + "rx_packets", () -> Long.toString(counters.rxPackets()));
        knobs.put(unit + "rx_bytes", () -> Long.toString(counters.rxBytes()));
        knobs.put(unit + "rx_dropped", () -> Long.toString(counters.rxDropped()));
        knobs.put(unit + "drops", () -> {
            StringBuilder text = new StringBuilder();
            for (NetDrop reason : NetDrop.values()) {
                append(text, reason.toString(), counters.drops(reason));
            }
            return text.isEmpty() ? "none" : text.toString();
        });
        knobs.put(unit + "throttled", () -> Long.toString(counters.throttled()));
        knobs.put(unit + "stalls", () -> Long.toString(counters.stalls()));
        knobs.put(unit + "damped", () -> Long.toString(counters.damped()));
        knobs.put(unit + "events", () -> Long.toString(counters.events()));
        knobs.put(unit + "notifications", () -> Long.toString(counters.notifications()));
        knobs.put(unit + "violations", () -> {
            StringBuilder text = new StringBuilder();
            for (NetRule rule : NetRule.values()) {
                append(text, rule.toString(), counters.violations(rule));
            }
            return text.isEmpty() ? "none" : text.toString();
        });
        knobs.put(unit + "dump_rings", () -> rings(nic.rings()));
        knobs.put(unit + "dump_control", () -> {
            String text = nic.control();
            return text.isEmpty() ? NOT_CONNECTED : text + "\n";
        });
        knobs.put(unit + "unit_test_results", Knobs::unitTests);
    }

    private static void append(StringBuilder text, String rule, long count) {
        if (count > 0) {
            text.append(text.isEmpty() ? "" : " ").append(rule).append('=').append(count);
        }
    }

    private static String mtu(NicView nic) {
        try {
            return Integer.toString(nic.row().link().mtu());
        } catch (XenException e) {
            return Reason.line(e);
        }
    }

    /** A block for each queue. */
    private static String rings(List<String> queues) {
        if (queues.isEmpty()) {
            return NOT_CONNECTED;
        }
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < queues.size(); i++) {
            for (String line : queues.get(i).lines().toList()) {
                text.append(text.isEmpty() ? "" : "\n")
                        .append("queue ")
                        .append(i)
                        .append(' ')
                        .append(line);
            }
        }
        return text + "\n";
    }

    private static String unitTests() {
        try {
            return UnitSuite.report(UnitSuite.run());
        } catch (XenException e) {
            return Reason.line(e);
        }
    }
}
