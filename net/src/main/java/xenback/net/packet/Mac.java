package xenback.net.packet;

import java.util.Optional;
import java.util.regex.Pattern;

/**
 * The address of an Ethernet station.
 *
 * @param value the six octets, the first on the wire in bits 47 to 40
 */
public record Mac(long value) {
    /** All stations. */
    public static final Mac BROADCAST = new Mac(0xFFFF_FFFF_FFFFL);

    private static final Pattern FORM = Pattern.compile("[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}");

    public Mac {
        if (value >>> 48 != 0) {
            throw new IllegalArgumentException("more than six octets");
        }
    }

    /** Reads {@code 00:16:3e:00:00:01}; empty if it is anything else. */
    public static Optional<Mac> parse(String text) {
        return FORM.matcher(text).matches()
                ? Optional.of(new Mac(Long.parseLong(text.replace(":", ""), 16)))
                : Optional.empty();
    }

    /** True for a group address, the broadcast among them: bit 0 of the first octet. */
    public boolean isGroup() {
        return (value >>> 40 & 1) != 0;
    }

    /** True if a single station can have it: neither a group nor all zero. */
    public boolean isStation() {
        return !isGroup() && value != 0;
    }

    /** As it is usually written, {@code 00:16:3e:00:00:01}. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(17);
        for (int shift = 40; shift >= 0; shift -= 8) {
            int octet = (int) (value >>> shift) & 0xFF;
            text.append(Character.forDigit(octet >>> 4, 16)).append(Character.forDigit(octet & 15, 16));
            if (shift > 0) {
                text.append(':');
            }
        }
        return text.toString();
    }
}
