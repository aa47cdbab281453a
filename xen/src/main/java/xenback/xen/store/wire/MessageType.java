package xenback.xen.store.wire;

/** What a message asks or tells; the numbers are {@code enum xsd_sockmsg_type} of Xen's io/xs_wire.h. */
public enum MessageType {
    CONTROL(0),
    DIRECTORY(1),
    READ(2),
    GET_PERMS(3),
    WATCH(4),
    UNWATCH(5),
    TRANSACTION_START(6),
    TRANSACTION_END(7),
    INTRODUCE(8),
    RELEASE(9),
    GET_DOMAIN_PATH(10),
    WRITE(11),
    MKDIR(12),
    RM(13),
    SET_PERMS(14),
    WATCH_EVENT(15),
    ERROR(16),
    IS_DOMAIN_INTRODUCED(17),
    RESUME(18),
    SET_TARGET(19),
    /** Removed from the protocol; the number stays taken. */
    RESTRICT(20),
    RESET_WATCHES(21),
    DIRECTORY_PART(22),
    /** Any number that has no name above; peers append new ones. */
    UNKNOWN(-1);

    private static final MessageType[] VALUES = values();

    private final int number;

    MessageType(int number) {
        this.number = number;
    }

    /** The number on the wire. {@link #UNKNOWN} has none of its own and is never sent. */
    public int number() {
        return number;
    }

    /** The type of that number, {@link #UNKNOWN} for all that have no name here. */
    public static MessageType of(int number) {
        // The numbers are dense and in order (a test holds them against xs_wire.h), the last is UNKNOWN's.
        return number >= 0 && number < VALUES.length - 1 ? VALUES[number] : UNKNOWN;
    }
}
