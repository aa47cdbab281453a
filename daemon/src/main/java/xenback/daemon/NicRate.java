package xenback.daemon;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How much a guest may send, as xl-network-configuration(5) has it: {@code RATE/s[@INTERVAL]}, such as {@code 10Mb/s},
 * {@code 250KB/s} or {@code 1MB/s@20ms}; K, M and G are powers of 1000, b is a bit and B a byte.
 *
 * @param bytes that may be sent in each interval
 */
record NicRate(long bytes, long intervalMicros) {
    private static final Pattern FORM =
            Pattern.compile("([0-9]{1,9}(?:\\.[0-9]{1,9})?)([KMG]?)([bB])/s(?:@([0-9]{1,9})(us|ms|s)?)?");
    private static final long USUAL_INTERVAL_MICROS = 50_000;
    private static final long MOST_INTERVAL_MICROS = 0xFFFF_FFFFL;

    static NicRate parse(String text) throws UserError {
        Matcher typed = FORM.matcher(text);
        if (!typed.matches()) {
            throw bad(text);
        }
        long unit = switch (typed.group(2)) {
            case "K" -> 1_000;
            case "M" -> 1_000_000;
            case "G" -> 1_000_000_000;
            default -> 1;
        };
        long interval = typed.group(4) == null
                ? USUAL_INTERVAL_MICROS
                : Long.parseLong(typed.group(4)) * micros(typed.group(5));
        BigDecimal bytes = new BigDecimal(typed.group(1))
                .multiply(BigDecimal.valueOf(unit))
                .multiply(BigDecimal.valueOf(interval))
                .divide(BigDecimal.valueOf(typed.group(3).equals("b") ? 8_000_000 : 1_000_000), 0, RoundingMode.DOWN);
        if (interval == 0 || interval > MOST_INTERVAL_MICROS || bytes.signum() == 0) {
            throw bad(text);
        }
        return new NicRate(bytes.longValueExact(), interval);
    }

    private static long micros(String unit) {
        return switch (unit) {
            case "us" -> 1;
            case "ms" -> 1_000;
            case null, default -> 1_000_000;
        };
    }

    private static UserError bad(String text) {
        return UserError.usage("bad rate '" + text + "'; write it as 10Mb/s, 250KB/s or 1MB/s@20ms, and not 0");
    }

    /** The value of the node {@code rate}, as libxl writes it. */
    String node() {
        return bytes + "," + intervalMicros;
    }
}
