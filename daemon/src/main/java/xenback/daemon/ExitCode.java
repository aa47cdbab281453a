package xenback.daemon;

/** What the program's exit status says. */
enum ExitCode {
    OK(0),
    /** The world refused: a file, a device, a socket. */
    FAILURE(1),
    /** The command line cannot be meant as it was typed. */
    USAGE(2);

    private final int status;

    ExitCode(int status) {
        this.status = status;
    }

    int status() {
        return status;
    }
}
