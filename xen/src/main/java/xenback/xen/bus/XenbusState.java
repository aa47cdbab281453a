package xenback.xen.bus;

/** State of one end of a split device, as decimal text in its {@code state} node (xen io/xenbus.h). */
public enum XenbusState {
    UNKNOWN,
    INITIALISING,
    INIT_WAIT,
    INITIALISED,
    CONNECTED,
    CLOSING,
    CLOSED,
    RECONFIGURING,
    RECONFIGURED;

    private static final XenbusState[] VALUES = values();

    /** The number on the wire, 0..8. */
    public int number() {
        return ordinal();
    }

    /** What goes into the store. */
    public String text() {
        return Integer.toString(ordinal());
    }

    /** Reads what a hostile peer wrote: anything but one digit 0..8 is {@link #UNKNOWN}. */
    public static XenbusState parse(String text) {
        if (text.length() != 1) {
            return UNKNOWN;
        }
        int number = text.charAt(0) - '0';
        return number >= 0 && number < VALUES.length ? VALUES[number] : UNKNOWN;
    }
}
