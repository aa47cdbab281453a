package xenback.xen.store;

import java.util.Optional;

/**
 * One entry of a node's permission list. The first entry of a list names the owner, and its access is everybody else's
 * default.
 */
public record StorePermission(Access access, int domid) {
    /** What a domain may do; the letter on the wire is n, r, w or b. */
    public enum Access {
        NONE('n'),
        READ('r'),
        WRITE('w'),
        BOTH('b');

        private final char letter;

        Access(char letter) {
            this.letter = letter;
        }

        public char letter() {
            return letter;
        }

        public boolean mayRead() {
            return this == READ || this == BOTH;
        }

        public boolean mayWrite() {
            return this == WRITE || this == BOTH;
        }
    }

    /** The form on the wire, such as {@code r3}. */
    public String text() {
        return access.letter() + Integer.toString(domid);
    }

    /** Parses the form on the wire. */
    public static StorePermission parse(String text) {
        return of(text).orElseThrow(() -> new IllegalArgumentException("not a permission"));
    }

    /** Parses what a peer wrote as a permission; empty if it is none. */
    public static Optional<StorePermission> of(String text) {
        if (text.length() < 2 || text.length() > 6) {
            return Optional.empty();
        }
        int domid = 0;
        for (int i = 1; i < text.length(); i++) {
            int digit = text.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return Optional.empty();
            }
            domid = domid * 10 + digit;
        }
        for (Access access : Access.values()) {
            if (access.letter() == text.charAt(0) && domid <= 0xFFFF) {
                return Optional.of(new StorePermission(access, domid));
            }
        }
        return Optional.empty();
    }
}
