package xenback.xen.embedded;

import xenback.xen.Errno;

/** What the store says to a request: a body, or the name of an error. */
sealed interface Answer {
    Answer OK = new Body("OK\0");

    /** A body; its chars are octets. */
    record Body(String text) implements Answer {}

    /** A refusal by its name on the wire. */
    record Refusal(Errno errno) implements Answer {}

    static Answer refused(Errno errno) {
        return new Refusal(errno);
    }
}
