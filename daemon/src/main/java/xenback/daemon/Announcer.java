package xenback.daemon;

/** Where events go. Any thread may tell; telling never waits for a reader. */
interface Announcer {
    /** Shows an event. */
    void tell(ServeEvent event);

    /** Shows a line of the log as it is; strings from outside may be in it. */
    void log(String line);
}
