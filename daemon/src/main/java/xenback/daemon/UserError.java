package xenback.daemon;

/** What a person has to put right. The message is one line that names the thing and the remedy. */
final class UserError extends Exception {
    private static final long serialVersionUID = 1L;

    private final ExitCode exitCode;

    private UserError(ExitCode exitCode, String message) {
        super(message);
        this.exitCode = exitCode;
    }

    private UserError(ExitCode exitCode, String message, Throwable cause) {
        super(message, cause);
        this.exitCode = exitCode;
    }

    /** The command line is wrong. */
    static UserError usage(String message) {
        return new UserError(ExitCode.USAGE, message);
    }

    /** The command line is right and the world does not fit it. */
    static UserError failure(String message) {
        return new UserError(ExitCode.FAILURE, message);
    }

    /** As {@link #failure(String)}, with what the system said. */
    static UserError failure(String message, Throwable cause) {
        return new UserError(ExitCode.FAILURE, message, cause);
    }

    ExitCode exitCode() {
        return exitCode;
    }
}
