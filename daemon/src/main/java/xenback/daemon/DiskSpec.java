package xenback.daemon;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import xenback.block.protocol.Vdev;

/**
 * One disk of one guest, as typed: {@code target,format,vdev,access} and {@code key=value} of xl-disk-configuration(5),
 * in which {@code target=} takes the rest with its commas, and three keys of our own, {@code guest}, {@code cache} and {@code
 * sector-size}.
 *
 * @param target the image file or block device, as typed, or {@code null:SIZE}
 * @param discard offer discard, if the store can; by default if the disk can be written, as libxl has it
 * @param guestDomid the guest that gets it, 1..0x7FEF
 * @param ownSectorSize offer a block device's own sector, not 512 bytes
 */
record DiskSpec(
        Path target,
        DiskFormat format,
        Vdev vdev,
        boolean readOnly,
        DeviceType type,
        boolean discard,
        int guestDomid,
        CachePolicy cache,
        boolean ownSectorSize) {
    /** DOMID_FIRST_RESERVED of xen.h is 0x7FF0; 0 is the domain of the backend. */
    private static final int LAST_DOMID = 0x7FEF;

    private static final List<String> POSITIONS = List.of("target", "format", "vdev", "access");

    /** What xl takes for a parameter and not for a path (libxlu_disk_l.l). */
    private static final Pattern NAMED = Pattern.compile("([a-z][-a-z0-9]*)=(.*)", Pattern.DOTALL);

    /** Prefixes of a target: xl's old ones, and those that name a format. */
    private static final Pattern PREFIXED =
            Pattern.compile("(file|phy|raw|qcow2?|qed|vhdx?|vmdk|vdi|aio|tap2?):(.*)", Pattern.DOTALL);

    /** Reads one {@code --disk}. Nothing is looked up in the file system. */
    static DiskSpec parse(String text) throws UserError {
        try {
            return new Reader().read(text);
        } catch (UserError wrong) {
            throw UserError.usage("--disk " + text + ": " + wrong.getMessage());
        }
    }

    /** True for {@code null:SIZE}, which is no path: nothing has to exist for it. */
    boolean isNull() {
        return target.toString().startsWith("null:");
    }

    /** The target as the backend opens it, from whatever directory. */
    String params() {
        return isNull() ? target.toString() : target.toAbsolutePath().toString();
    }

    /** What a person calls this disk, such as {@code xvda of domain 1}. */
    String title() {
        return vdev + " of domain " + guestDomid;
    }

    /** The parameters of one disk while they are gathered. */
    private static final class Reader {
        private final Map<String, String> values = new HashMap<>();
        private int position;

        DiskSpec read(String text) throws UserError {
            int from = 0;
            while (from <= text.length()) {
                int comma = text.indexOf(',', from);
                int end = comma < 0 ? text.length() : comma;
                String word = text.substring(from, end).strip();
                if (word.startsWith("target=")) {
                    put("target", text.substring(text.indexOf("target=", from) + "target=".length()));
                    break;
                }
                take(word);
                from = end + 1;
            }
            return disk();
        }

        private void take(String word) throws UserError {
            Matcher named = NAMED.matcher(word);
            if (named.matches()) {
                takeNamed(named.group(1), named.group(2).strip());
            } else if (!takeFlag(word)) {
                if (position == POSITIONS.size()) {
                    throw UserError.usage("'" + word + "' is one too many after target,format,vdev,access");
                }
                String key = POSITIONS.get(position++);
                if (!word.isEmpty()) {
                    put(key, word);
                }
            }
        }

        private void takeNamed(String key, String value) throws UserError {
            switch (key) {
                case "format", "vdev", "access", "devtype", "guest", "cache", "sector-size" -> put(key, value);
                case "script", "backend", "backendtype" ->
                    throw UserError.usage(
                            key + "= is for a toolstack that chooses a backend; xenback is the backend, leave it out");
                default ->
                    throw UserError.usage(
                            "unknown key '" + key
                                    + "'; known: target, format, vdev, access, devtype, guest, cache, sector-size (a path with '=' goes last, as target=PATH)");
            }
        }

        /** Words of xl without a value. {@code direct-io-safe} only permits what {@code cache=direct} asks for. */
        private boolean takeFlag(String word) throws UserError {
            switch (word) {
                case "discard" -> put("discard", "1");
                case "no-discard" -> put("discard", "0");
                case "cdrom" -> put("devtype", word);
                case "direct-io-safe" -> {}
                default -> {
                    return false;
                }
            }
            return true;
        }

        private void put(String key, String value) throws UserError {
            if (values.putIfAbsent(key, value) != null) {
                throw UserError.usage(key + " is given twice");
            }
        }

        private DiskSpec disk() throws UserError {
            takePrefix();
            String target = values.getOrDefault("target", "");
            if (target.isEmpty()) {
                throw UserError.usage("no target; write it as disk.img,raw,xvda,w");
            }
            DeviceType type = type(values.getOrDefault("devtype", "disk"));
            boolean readOnly = readOnly(values.getOrDefault("access", type == DeviceType.CDROM ? "r" : "w"));
            if (type == DeviceType.CDROM && !readOnly) {
                throw UserError.usage("a cdrom is never written; leave out access, or write it as r");
            }
            return new DiskSpec(
                    path(target),
                    DiskFormat.named(values.getOrDefault("format", "raw")),
                    vdev(),
                    readOnly,
                    type,
                    values.getOrDefault("discard", readOnly ? "0" : "1").equals("1"),
                    guestDomid(values.getOrDefault("guest", "1")),
                    cache(values.getOrDefault("cache", "buffered")),
                    ownSectorSize(values.getOrDefault("sector-size", "512")));
        }

        private void takePrefix() throws UserError {
            Matcher prefixed = PREFIXED.matcher(values.getOrDefault("target", ""));
            if (!prefixed.matches()) {
                return;
            }
            switch (prefixed.group(1)) {
                case "file", "phy" -> values.put("target", prefixed.group(2));
                default -> {
                    values.put("target", prefixed.group(2));
                    put("format", prefixed.group(1));
                }
            }
        }

        private Vdev vdev() throws UserError {
            String vdev = values.getOrDefault("vdev", "");
            if (vdev.isEmpty()) {
                throw UserError.usage("no vdev; write it as disk.img,raw,xvda,w");
            }
            return Vdev.parse(vdev)
                    .orElseThrow(() -> UserError.usage("bad vdev '" + vdev
                            + "'; write it as xvda, xvda1, sdb, hda1, d0p1, or a number such as 51712"));
        }

        private static Path path(String target) throws UserError {
            try {
                return Path.of(target);
            } catch (InvalidPathException impossible) {
                throw UserError.usage("'" + target + "' cannot be a path: " + impossible.getReason());
            }
        }

        private static boolean readOnly(String access) throws UserError {
            return switch (access) {
                case "r", "ro" -> true;
                case "w", "rw" -> false;
                default -> throw UserError.usage("bad access '" + access + "'; known: r, ro, w, rw");
            };
        }

        private static DeviceType type(String type) throws UserError {
            return Choice.of(DeviceType.class, type)
                    .orElseThrow(() ->
                            UserError.usage("bad devtype '" + type + "'; known: " + Choice.known(DeviceType.class)));
        }

        private static boolean ownSectorSize(String sectorSize) throws UserError {
            return switch (sectorSize) {
                case "512" -> false;
                case "own" -> true;
                default -> throw UserError.usage("bad sector-size '" + sectorSize + "'; known: 512, own");
            };
        }

        private static int guestDomid(String guest) throws UserError {
            if (guest.matches("[1-9][0-9]{0,4}") && Integer.parseInt(guest) <= LAST_DOMID) {
                return Integer.parseInt(guest);
            }
            throw UserError.usage("bad guest '" + guest + "'; it is a domain's number, 1 to " + LAST_DOMID);
        }

        private static CachePolicy cache(String cache) throws UserError {
            return Choice.of(CachePolicy.class, cache)
                    .orElseThrow(() ->
                            UserError.usage("bad cache '" + cache + "'; known: " + Choice.known(CachePolicy.class)));
        }
    }
}
