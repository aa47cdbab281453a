package xenback.xen.store;

import java.nio.charset.StandardCharsets;

/**
 * The path of a node: absolute ({@code /local/domain/1}) or relative to the connection's own domain ({@code device/vbd}).
 * Characters are ASCII letters, digits and {@code -/_@}; no empty part, no trailing slash except the root itself; at most
 * 3072 bytes absolute, 2048 relative (xs_wire.h).
 */
public record StorePath(String text) {
    public static final int ABSOLUTE_MAX_BYTES = 3072;
    public static final int RELATIVE_MAX_BYTES = 2048;

    public StorePath {
        if (!isValid(text)) {
            throw new IllegalArgumentException("not a xenstore path: " + printable(text));
        }
    }

    public static StorePath of(String text) {
        return new StorePath(text);
    }

    /** The node below this one; {@code child} may have several parts. */
    public StorePath child(String child) {
        return new StorePath(text.equals("/") ? "/" + child : text + "/" + child);
    }

    public StorePath child(int child) {
        return child(Integer.toString(child));
    }

    /** The node above this one. */
    public StorePath parent() {
        int slash = text.lastIndexOf('/');
        if (slash < 0 || text.length() == 1) {
            throw new IllegalStateException("no parent: " + text);
        }
        return new StorePath(slash == 0 ? "/" : text.substring(0, slash));
    }

    /** The last part. */
    public String key() {
        return text.substring(text.lastIndexOf('/') + 1);
    }

    @Override
    public String toString() {
        return text;
    }

    /** True for what the daemon accepts as a path. */
    public static boolean isValid(String text) {
        int length = text.length();
        if (length == 0 || length > (text.charAt(0) == '/' ? ABSOLUTE_MAX_BYTES : RELATIVE_MAX_BYTES)) {
            return false;
        }
        if (text.equals("/")) {
            return true;
        }
        char previous = 0;
        for (int i = 0; i < length; i++) {
            char c = text.charAt(i);
            boolean plain = c >= 'a' && c <= 'z'
                    || c >= 'A' && c <= 'Z'
                    || c >= '0' && c <= '9'
                    || c == '-'
                    || c == '_'
                    || c == '@'
                    || c == '/';
            if (!plain || c == '/' && previous == '/') {
                return false;
            }
            previous = c;
        }
        return previous != '/';
    }

    private static String printable(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
        return new String(bytes, 0, Math.min(bytes.length, 80), StandardCharsets.US_ASCII).replaceAll("[^ -~]", "?");
    }
}
