package xenback.xen.embedded;

import java.util.LinkedHashSet;
import java.util.Set;

/** A watch of one connection, and its events that are not sent yet. Itself and nothing else is equal to it. */
final class ServerWatch {
    private final String text;
    private final String path;
    private final String token;
    private final Set<String> pending = new LinkedHashSet<>();

    ServerWatch(String text, String path, String token) {
        this.text = text;
        this.path = path;
        this.token = token;
    }

    /** The path as the client wrote it, which decides how events name theirs. */
    String text() {
        return text;
    }

    /** The absolute path, or a special name. */
    String path() {
        return path;
    }

    /** The client's word for this watch. */
    String token() {
        return token;
    }

    /** Paths to report, in the form the client expects. */
    Set<String> pending() {
        return pending;
    }

    static boolean isAtOrBelow(String path, String top) {
        return path.startsWith(top)
                && (path.length() == top.length() || top.equals("/") || path.charAt(top.length()) == '/');
    }

    /** What the watch costs its domain. */
    int bytes() {
        return text.length() + path.length() + token.length();
    }
}
