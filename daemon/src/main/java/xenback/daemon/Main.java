package xenback.daemon;

/** The program's entry. */
public final class Main {
    private Main() {}

    /** Runs a command and ends the process with its status. */
    public static void main(String[] args) {
        int status;
        try (Screen screen = Screen.ofProcess()) {
            status = XenbackCommand.commandLine(Main::serve, screen).execute(args);
        }
        System.exit(status);
    }

    private static Serving serve(ServePlan plan, RunDir runDir, Announcer announcer)
            throws UserError, InterruptedException {
        return switch (plan.xen()) {
            case HOST -> HostServing.start(plan, runDir, announcer);
            case EMBEDDED -> EmbeddedServing.start(plan, runDir, announcer);
            case AUTO -> throw new IllegalStateException("auto was to be settled before");
        };
    }
}
