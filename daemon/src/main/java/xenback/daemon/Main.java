package xenback.daemon;

/** The program's entry. */
public final class Main {
    private Main() {}

    /** Runs a command and ends the process with its status. */
    public static void main(String[] args) {
        int status;
        try (Screen screen = Screen.ofProcess()) {
            status = XenbackCommand.commandLine(Main::startNothing, screen).execute(args);
        }
        System.exit(status);
    }

    private static Serving startNothing(ServePlan plan, RunDir runDir, Announcer announcer) throws UserError {
        throw UserError.failure(
                "serve: this build has no backend to serve " + plan.disks().size() + " disks with");
    }
}
