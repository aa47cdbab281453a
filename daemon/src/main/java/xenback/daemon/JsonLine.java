package xenback.daemon;

import java.util.List;

/**
 * Writes one JSON object on one line (RFC 8259). Members keep the order in which they were put; a name is put once. Not
 * thread-safe.
 */
final class JsonLine {
    private final StringBuilder text = new StringBuilder("{");

    JsonLine put(String name, String value) {
        name(name);
        string(value);
        return this;
    }

    JsonLine put(String name, long value) {
        name(name);
        text.append(value);
        return this;
    }

    JsonLine put(String name, boolean value) {
        name(name);
        text.append(value);
        return this;
    }

    JsonLine put(String name, List<JsonLine> values) {
        name(name);
        text.append('[');
        for (int i = 0; i < values.size(); i++) {
            text.append(i == 0 ? "" : ",").append(values.get(i));
        }
        text.append(']');
        return this;
    }

    /** The object so far, complete. */
    @Override
    public String toString() {
        return text + "}";
    }

    private void name(String name) {
        if (text.length() > 1) {
            text.append(',');
        }
        string(name);
        text.append(':');
    }

    private void string(String value) {
        text.append('"');
        for (int i = 0; i < value.length(); i++) {
            char unit = value.charAt(i);
            switch (unit) {
                case '"' -> text.append("\\\"");
                case '\\' -> text.append("\\\\");
                case '\n' -> text.append("\\n");
                case '\r' -> text.append("\\r");
                case '\t' -> text.append("\\t");
                default -> {
                    if (plain(value, i)) {
                        text.append(unit);
                    } else {
                        text.append(String.format("\\u%04x", (int) unit));
                    }
                }
            }
        }
        text.append('"');
    }

    /** RFC 8259 wants C0 escaped; the rest is for readers that take DEL, C1 or U+2028 for a control or a new line. */
    private static boolean plain(String value, int index) {
        char unit = value.charAt(index);
        if (Character.isHighSurrogate(unit)) {
            return index + 1 < value.length() && Character.isLowSurrogate(value.charAt(index + 1));
        }
        if (Character.isLowSurrogate(unit)) {
            return index > 0 && Character.isHighSurrogate(value.charAt(index - 1));
        }
        return unit >= 0x20 && !(unit >= 0x7F && unit < 0xA0) && unit != 0x2028 && unit != 0x2029;
    }
}
