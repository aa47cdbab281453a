package xenback.xen.bus;

/** State of one end of a split device, as decimal text in its {@code state} node (xen io/xenbus.h). */
public enum XenbusState {
    UNKNOWN(0),
    INITIALISING(1),
    INIT_WAIT(2),
    INITIALISED(3),
    CONNECTED(4),
    CLOSING(5),
    CLOSED(6),
    RECONFIGURING(7),
    RECONFIGURED(8);

    private static final XenbusState[] VALUES = values();

    private final int number;

    XenbusState(int number) {
        this.number = number;
    }

    /** The number on the wire, 0..8. */
    public int number() {
        return number;
    }

    /** What goes into the store. */
    public String text() {
        return Integer.toString(number);
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
