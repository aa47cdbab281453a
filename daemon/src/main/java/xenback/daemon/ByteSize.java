package xenback.daemon;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Sizes as people type and read them; K, M, G and T are powers of 1024, as qemu-img and truncate take them. */
final class ByteSize {
    private static final Pattern TYPED = Pattern.compile("([0-9]{1,19})([kKmMgGtT]?)");
    private static final String UNITS = "KMGT";

    private ByteSize() {}

    /** Bytes meant by {@code 1G}, {@code 512M}, {@code 100K} or {@code 4096}. */
    static long parse(String text) throws UserError {
        Matcher typed = TYPED.matcher(text);
        if (!typed.matches()) {
            throw UserError.usage("size '" + text + "' is not a number of bytes; write it as 1G, 512M, 100K or 4096");
        }
        int exponent =
                typed.group(2).isEmpty() ? 0 : UNITS.indexOf(typed.group(2).toUpperCase(Locale.ROOT)) + 1;
        try {
            return Math.multiplyExact(Long.parseLong(typed.group(1)), 1L << (10 * exponent));
        } catch (NumberFormatException | ArithmeticException tooLarge) {
            throw UserError.usage("size '" + text + "' is beyond what a file can have");
        }
    }

    /** A size for reading, such as {@code 1.5 GiB}; at most three digits before the point. */
    static String text(double bytes) {
        if (bytes < 1024) {
            return String.format(Locale.ROOT, "%.0f B", bytes);
        }
        double value = bytes;
        int unit = -1;
        while (value >= 1000 && unit < UNITS.length() - 1) {
            value /= 1024;
            unit++;
        }
        return String.format(Locale.ROOT, "%.1f %ciB", value, UNITS.charAt(unit));
    }
}
