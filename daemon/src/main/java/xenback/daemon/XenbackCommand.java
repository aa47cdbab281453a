package xenback.daemon;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;
import xenback.xen.io.EventLoop;

/** The command {@code xenback}: what all sub-commands share, and how failures are told. */
@Command(
        name = "xenback",
        description = "The back half of Xen's paravirtual devices, in userspace.",
        synopsisSubcommandLabel = "COMMAND",
        versionProvider = XenbackCommand.Version.class,
        mixinStandardHelpOptions = true,
        scope = ScopeType.INHERIT,
        sortOptions = false,
        usageHelpAutoWidth = true,
        exitCodeListHeading = "%nExit status:%n",
        exitCodeList = {"0:ended as asked", "1:a file, a device or a socket refused", "2:wrong usage"})
final class XenbackCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli before the call
    private CommandSpec spec;

    @Option(
            names = {"-v", "--verbose"},
            scope = ScopeType.INHERIT,
            description = "Say more; stack traces with failures. May be repeated.")
    @SuppressWarnings("NullAway.Init")
    private boolean[] verbose;

    /** The command with its sub-commands, ready to execute. */
    static CommandLine commandLine(Serving.Starter starter, Screen screen) {
        var xenback = new XenbackCommand();
        return new CommandLine(xenback)
                .addSubcommand(new ServeCommand(xenback, starter, screen))
                .addSubcommand(new ListCommand(screen))
                .addSubcommand(new SysctlCommand(screen))
                .addSubcommand(new CaptureCommand(screen))
                .registerConverter(XenChoice.class, Choice.converter(XenChoice.class))
                .registerConverter(EventLoop.Engine.class, Choice.converter(EventLoop.Engine.class))
                .setParameterExceptionHandler((wrong, args) -> xenback.tellUsage(wrong, screen))
                .setExecutionExceptionHandler((failure, command, result) -> xenback.tellFailure(failure, screen));
    }

    /** How often {@code -v} was given. */
    int verbosity() {
        return Objects.requireNonNullElse(verbose, new boolean[0]).length;
    }

    @Override
    public Integer call() {
        throw new ParameterException(spec.commandLine(), "no command is given");
    }

    private int tellUsage(ParameterException wrong, Screen screen) {
        String name = wrong.getCommandLine().getCommandSpec().qualifiedName();
        screen.err(name + ": " + String.valueOf(wrong.getMessage()).strip() + "; see: " + name + " --help");
        return ExitCode.USAGE.status();
    }

    private int tellFailure(Exception failure, Screen screen) {
        screen.err("xenback: " + Reason.line(failure));
        if (verbosity() > 0) {
            var trace = new StringWriter();
            failure.printStackTrace(new PrintWriter(trace));
            trace.toString().lines().forEach(line -> screen.err(line.replace("\t", "    ")));
        }
        return failure instanceof UserError error ? error.exitCode().status() : ExitCode.FAILURE.status();
    }

    /** The version that the build wrote down. */
    static final class Version implements CommandLine.IVersionProvider {
        @Override
        public String[] getVersion() throws IOException {
            var properties = new Properties();
            try (InputStream written = XenbackCommand.class.getResourceAsStream("version.properties")) {
                properties.load(Objects.requireNonNull(written, "version.properties"));
            }
            return new String[] {"xenback " + properties.getProperty("version")};
        }
    }
}
