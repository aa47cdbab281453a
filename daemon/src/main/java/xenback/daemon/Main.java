package xenback.daemon;

/** The program's entry. */
public final class Main {
    private Main() {}

    /** Runs a command and ends the process with its status. */
    public static void main(String[] args) {
        int status;
        try (Screen screen = Screen.ofProcess()) {
            status = XenbackCommand.commandLine(EmbeddedServing::start, screen).execute(args);
        }
        System.exit(status);
    }
}
