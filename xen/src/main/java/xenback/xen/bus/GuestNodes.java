package xenback.xen.bus;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.store.StoreAccess;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.XenStore;

/**
 * What a frontend wrote into its directory, read in one transaction, so that its values belong together. All of it is the
 * guest's: numbers are decimal ASCII within their range or they are refused (CVE-2026-45890: a count of 0 was believed).
 */
public final class GuestNodes {
    private static final int LONGEST_NUMBER = 10;

    private final StorePath frontend;
    private final Map<String, String> values;

    private GuestNodes(StorePath frontend, Map<String, String> values) {
        this.frontend = frontend;
        this.values = values;
    }

    /** Reads single nodes within the transaction. */
    public static final class Reader {
        private final StoreAccess access;
        private final GuestNodes nodes;

        private Reader(StoreAccess access, GuestNodes nodes) {
            this.access = access;
            this.nodes = nodes;
        }

        /** Reads a node, {@code queue-0/ring-ref} for one. False if there is none. */
        public boolean read(String key) throws StoreException {
            StorePath path = nodes.frontend;
            for (String part : key.split("/", -1)) {
                path = path.child(part);
            }
            access.read(path).ifPresent(value -> nodes.values.put(key, value));
            return nodes.has(key);
        }

        /** A number that was read, for a decision on what else to read; what it means is judged later. -1 if it is none. */
        public long peek(String key, long missing) {
            String text = nodes.values.get(key);
            return text == null ? missing : GuestNodes.number(text);
        }
    }

    /** Says which nodes to read. Called again if the transaction has to be. */
    @FunctionalInterface
    public interface Gatherer {
        void gather(Reader reader) throws StoreException;
    }

    /** Reads a frontend's directory. */
    public static GuestNodes read(XenStore store, StorePath frontend, Gatherer gatherer) throws XenException {
        return store.transaction(access -> {
            GuestNodes nodes = new GuestNodes(frontend, new HashMap<>());
            gatherer.gather(new Reader(access, nodes));
            return nodes;
        });
    }

    public boolean has(String key) {
        return values.containsKey(key);
    }

    public Optional<String> text(String key) {
        return Optional.ofNullable(values.get(key));
    }

    /** A number that must be there. */
    public long number(String key, long least, long most) throws XenException {
        String text = values.getOrDefault(key, "");
        long number = number(text);
        if (number < least || number > most) {
            throw refused(key + (has(key) ? " is no number in range: " + printable(text) : " is missing"));
        }
        return number;
    }

    /** A number that may be missing. */
    public long number(String key, long least, long most, long missing) throws XenException {
        return has(key) ? number(key, least, most) : missing;
    }

    /** A switch, 0 or 1. */
    public boolean flag(String key, boolean missing) throws XenException {
        return has(key) ? number(key, 0, 1) == 1 : missing;
    }

    /** For the toolstack's user: the directory, and what is wrong. */
    public XenException refused(String why) {
        return new XenException(Errno.EINVAL, frontend + ": " + why);
    }

    /** A guest's text for a log line: short, and without control characters. */
    public static String printable(String text) {
        String shown = text.length() > 40 ? text.substring(0, 40) + "..." : text;
        return "'" + shown.replaceAll("[^ -~]", "?") + "'";
    }

    /** The number that one to ten digits make; -1 for anything else. */
    public static long number(String text) {
        long number = text.isEmpty() || text.length() > LONGEST_NUMBER ? -1 : 0;
        for (int i = 0; number >= 0 && i < text.length(); i++) {
            int digit = text.charAt(i) - '0';
            number = digit < 0 || digit > 9 ? -1 : number * 10 + digit;
        }
        return number;
    }
}
