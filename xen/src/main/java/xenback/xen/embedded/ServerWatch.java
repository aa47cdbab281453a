package xenback.xen.embedded;

import java.util.LinkedHashSet;
import java.util.Set;

/**
 * A watch of one connection, and its events that are not sent yet.
 *
 * @param text the path as the client wrote it, which decides how events name theirs
 * @param path the absolute path, or a special name
 * @param token the client's word for this watch
 * @param pending paths to report, in the form the client expects
 */
record ServerWatch(String text, String path, String token, Set<String> pending) {
    static ServerWatch of(String text, String path, String token) {
        return new ServerWatch(text, path, token, new LinkedHashSet<>());
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
