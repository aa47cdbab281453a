package xenback.block.protocol;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The number by which a guest knows one of its disks, and its name (xen-vbd-interface(7)).
 *
 * <pre>
 *   xvd            202 &lt;&lt; 8 | disk &lt;&lt; 4 | partition              disk, partition below 16
 *   xvd extended   1 &lt;&lt; 28  | disk &lt;&lt; 8 | partition              disk below 2^20, partition below 256,
 *                                                             only where the short form does not fit
 *   sd             8 &lt;&lt; 8   | disk &lt;&lt; 4 | partition              disk, partition below 16
 *   hd             M &lt;&lt; 8   | (disk &amp; 1) &lt;&lt; 6 | partition        disk below 20, partition below 64;
 *                                                             M is 3 for disks 0 and 1, 22 for 2 and 3; the rest is
 *                                                             deprecated, and some frontends still decode it
 * </pre>
 *
 * Every number is a legal identifier; one that no name encodes to is called by its decimal digits. So parsing the name
 * always gives the number back.
 *
 * @param number 0 to 2^31 - 1, as it stands in xenstore
 */
public record Vdev(int number) implements Comparable<Vdev> {
    private static final int XVD_MAJOR = 202;
    private static final int SD_MAJOR = 8;

    /** The majors of Linux's IDE interfaces in order, two disks each (vbd-interface, "deprecated"). */
    private static final int[] HD_MAJORS = {3, 22, 33, 34, 56, 57, 88, 89, 90, 91};

    private static final int EXTENDED = 1 << 28;
    private static final int EXTENDED_DISKS = 1 << 20;
    private static final int EXTENDED_PARTITIONS = 1 << 8;

    /** Five letters reach beyond disk 2^20 - 1 and cannot overflow; leading zeroes are refused as libxl does. */
    private static final Pattern LETTERED = Pattern.compile("(xvd|sd|hd)([a-z]{1,5})([1-9][0-9]{0,2})?");

    private static final Pattern GENERIC = Pattern.compile("d(0|[1-9][0-9]{0,6})p(0|[1-9][0-9]{0,2})");
    private static final Pattern DECIMAL = Pattern.compile("0|[1-9][0-9]{0,9}");
    private static final Pattern HEXADECIMAL = Pattern.compile("0[xX]([0-9a-fA-F]{1,8})");

    /** Takes a number as it is; which numbers a guest understands is the guest's affair. */
    public Vdev {
        if (number < 0) {
            throw new IllegalArgumentException("vdev " + number + " is negative");
        }
    }

    /**
     * Reads a name ({@code xvda1}, {@code sdb}, {@code hdc}), the generic form ({@code d0p1}), or a number in decimal or
     * with {@code 0x}. Empty for anything else: a disk or partition out of range, upper case, leading zeroes.
     */
    public static Optional<Vdev> parse(String text) {
        Matcher lettered = LETTERED.matcher(text);
        if (lettered.matches()) {
            int disk = diskOf(lettered.group(2));
            int partition = lettered.group(3) == null ? 0 : Integer.parseInt(lettered.group(3));
            return switch (lettered.group(1)) {
                case "xvd" -> xvd(disk, partition);
                case "sd" -> sd(disk, partition);
                default -> hd(disk, partition);
            };
        }
        Matcher generic = GENERIC.matcher(text);
        if (generic.matches()) {
            return xvd(Integer.parseInt(generic.group(1)), Integer.parseInt(generic.group(2)));
        }
        Matcher hexadecimal = HEXADECIMAL.matcher(text);
        if (hexadecimal.matches()) {
            return numbered(Long.parseLong(hexadecimal.group(1), 16));
        }
        return DECIMAL.matcher(text).matches() ? numbered(Long.parseLong(text)) : Optional.empty();
    }

    /** The shortest name that encodes to this number, or its decimal digits if there is none. */
    public String name() {
        int major = number >>> 8;
        int minor = number & 0xFF;
        if ((number & EXTENDED) != 0 && number < 2 * EXTENDED) {
            int disk = (number >>> 8) & (EXTENDED_DISKS - 1);
            return fitsShortForm(disk, minor) ? Integer.toString(number) : name("xvd", disk, minor);
        }
        if (major == XVD_MAJOR) {
            return name("xvd", minor >>> 4, minor & 15);
        }
        if (major == SD_MAJOR) {
            return name("sd", minor >>> 4, minor & 15);
        }
        for (int pair = 0; pair < HD_MAJORS.length; pair++) {
            if (HD_MAJORS[pair] == major && minor < 128) {
                return name("hd", pair * 2 + (minor >>> 6), minor & 63);
            }
        }
        return Integer.toString(number);
    }

    /** By number, which is how a toolstack lists them. */
    @Override
    public int compareTo(Vdev other) {
        return Integer.compare(number, other.number);
    }

    /** {@link #name}, for messages. */
    @Override
    public String toString() {
        return name();
    }

    private static Optional<Vdev> xvd(int disk, int partition) {
        if (disk >= EXTENDED_DISKS || partition >= EXTENDED_PARTITIONS) {
            return Optional.empty();
        }
        return Optional.of(new Vdev(
                fitsShortForm(disk, partition)
                        ? (XVD_MAJOR << 8) | (disk << 4) | partition
                        : EXTENDED | (disk << 8) | partition));
    }

    private static Optional<Vdev> sd(int disk, int partition) {
        return fitsShortForm(disk, partition)
                ? Optional.of(new Vdev((SD_MAJOR << 8) | (disk << 4) | partition))
                : Optional.empty();
    }

    private static Optional<Vdev> hd(int disk, int partition) {
        return disk < HD_MAJORS.length * 2 && partition < 64
                ? Optional.of(new Vdev((HD_MAJORS[disk >>> 1] << 8) | ((disk & 1) << 6) | partition))
                : Optional.empty();
    }

    private static Optional<Vdev> numbered(long number) {
        return number <= Integer.MAX_VALUE ? Optional.of(new Vdev((int) number)) : Optional.empty();
    }

    private static boolean fitsShortForm(int disk, int partition) {
        return disk < 16 && partition < 16;
    }

    /** Bijective base 26: a = 0, z = 25, aa = 26. */
    private static int diskOf(String letters) {
        int disk = -1;
        for (int i = 0; i < letters.length(); i++) {
            disk = (disk + 1) * 26 + (letters.charAt(i) - 'a');
        }
        return disk;
    }

    private static String name(String prefix, int disk, int partition) {
        var letters = new StringBuilder();
        for (int rest = disk; rest >= 0; rest = rest / 26 - 1) {
            letters.append((char) ('a' + rest % 26));
        }
        return prefix + letters.reverse() + (partition == 0 ? "" : partition);
    }
}
