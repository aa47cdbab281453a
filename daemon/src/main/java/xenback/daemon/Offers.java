package xenback.daemon;

import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;
import xenback.block.backend.BlockOptions;
import xenback.block.protocol.BlkifLayout;
import xenback.net.backend.NetOptions;

/** Options of {@code serve} that say what guests are offered. */
final class Offers {
    private final BlockOptions usual = BlockOptions.usual();

    @Option(
            names = "--ring-page-order",
            paramLabel = "ORDER",
            description = "Most pages of a ring, as a power of two: 0 to 4 (16 pages), 4 by default.")
    private int ringPageOrder = usual.maxRingPageOrder();

    @Option(
            names = "--queues",
            paramLabel = "N",
            description =
                    "Most rings of a disk and, on a host, of an interface, 1 to 64; by default a ring per processor.")
    private @Nullable Integer queues;

    @Option(
            names = "--indirect-segments",
            paramLabel = "N",
            description = "Most pages of a request, 12 to 4096; 0 for requests of 11 pages. 256 by default.")
    private int indirectSegments = usual.maxIndirectSegments();

    @Option(
            names = "--persistent-grants",
            paramLabel = "on|off",
            description = "Whether guests' pages stay mapped between requests; on by default.")
    private String persistentGrants = "on";

    @Option(
            names = "--sector-size",
            paramLabel = "512|own",
            description = "Smallest block that guests see: 512 on any store, or the store's own. 512 by default.")
    private String sectorSize = "512";

    @Option(
            names = "--shrink",
            paramLabel = "refuse|allow",
            description = "Whether a store that became smaller makes the guest's disk smaller; refuse by default.")
    private String shrink = "refuse";

    @Option(
            names = "--antispoof",
            description =
                    "On a host: drop what a guest sends from another address than the mac= and ip= of its interface.")
    private boolean antispoof;

    boolean antispoof() {
        return antispoof;
    }

    /** What was asked for of interfaces; {@link #disks} has checked it. */
    NetOptions nics() {
        NetOptions asked = NetOptions.usual().withAntispoof(antispoof);
        return queues == null ? asked : asked.withQueues(queues);
    }

    /** What was asked for, checked. */
    BlockOptions disks() throws UserError {
        range("--ring-page-order", ringPageOrder, 0, BlockOptions.RING_PAGE_ORDER_LIMIT);
        int rings = queues == null ? usual.maxQueues() : queues;
        range("--queues", rings, 1, BlockOptions.QUEUE_LIMIT);
        if (indirectSegments != 0) {
            range(
                    "--indirect-segments",
                    indirectSegments,
                    BlkifLayout.MAX_SEGMENTS + 1,
                    BlkifLayout.MAX_INDIRECT_SEGMENTS);
        }
        return new BlockOptions(
                ringPageOrder,
                rings,
                indirectSegments,
                choice("--persistent-grants", persistentGrants, "on", "off"),
                choice("--shrink", shrink, "allow", "refuse"),
                choice("--sector-size", sectorSize, "own", "512"));
    }

    private static void range(String option, int value, int least, int most) throws UserError {
        if (value < least || value > most) {
            throw UserError.usage(option + " " + value + ": it goes from " + least + " to " + most);
        }
    }

    private static boolean choice(String option, String value, String yes, String no) throws UserError {
        if (!value.equals(yes) && !value.equals(no)) {
            throw UserError.usage(option + " " + value + ": known are " + yes + " and " + no);
        }
        return value.equals(yes);
    }
}
