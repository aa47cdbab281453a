package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The launcher and the scripts under it, as they are typed. */
final class LauncherTest extends Checkout {
    @TempDir
    private Path directory;

    @Test
    void tellsItsVersionOnStandardOutputAlone() throws Exception {
        try (Tool version = xenback(directory, "--version")) {
            Tool.Result result = version.awaitEnd();

            assertThat(result.status()).isZero();
            assertThat(result.out()).matches("xenback [0-9]+\\.[0-9]+\\.[0-9]+(-SNAPSHOT)?\n");
            assertThat(result.err()).isEmpty();
        }
    }

    @Test
    void runsThroughALinkFromElsewhere() throws Exception {
        Path link = Files.createSymbolicLink(directory.resolve("xb"), root().resolve("xenback"));
        try (Tool version = Tool.start(List.of(link.toString(), "--version"), directory, Map.of())) {
            assertThat(version.awaitEnd().out()).startsWith("xenback ");
        }
    }

    @Test
    void namesEveryOptionOfServeInItsHelp() throws Exception {
        try (Tool help = xenback(directory, "serve", "--help")) {
            Tool.Result result = help.awaitEnd();

            assertThat(result.status()).isZero();
            assertThat(result.out())
                    .contains(
                            "--disk", "--create", "--xen", "--nbd-socket", "--nbd-tcp", "--json", "--run-dir", "--io");
        }
    }

    @Test
    void keepsNamesBeyondAsciiInTheCLocale() throws Exception {
        var command = List.of(
                root().resolve("xenback").toString(), "serve", "--xen=embedded", "--disk=\u00e9\u4e2d.img,raw,xvda");
        try (Tool serve = Tool.start(command, directory, Map.of("LC_ALL", "C"))) {
            assertThat(serve.awaitEnd().err()).startsWith("xenback: \u00e9\u4e2d.img: no such file;");
        }
    }

    @Test
    void findsAJdkOfTheRightVersionAmongOthers() throws Exception {
        jdk("a-17", "JAVA_VERSION=\"17.0.15\"");
        jdk("b-250", "JAVA_VERSION=\"250\"");
        Path right = jdk("c-25", "JAVA_VERSION=\"25.0.1\"");

        assertThat(findJdk("", "").out()).isEqualTo(right + "\n");
    }

    @Test
    void asksTheJavaItselfWhereNoReleaseFileIs() throws Exception {
        Path right = jdk("a", "");
        Files.delete(right.resolve("release"));
        script(right.resolve("bin/java"), "echo 'openjdk version \"25-ea\" 2025-09-16' >&2");

        assertThat(findJdk("", "").out()).isEqualTo(right + "\n");
    }

    @Test
    void prefersTheNamedJdkAndPassesOverAWrongOne() throws Exception {
        jdk("found", "JAVA_VERSION=\"25\"");
        Path wrong = jdk("../wrong", "JAVA_VERSION=\"21.0.2\"");
        Path named = jdk("../named", "JAVA_VERSION=\"25.0.2\"");

        assertThat(findJdk(named.toString(), "").out()).isEqualTo(named + "\n");
        assertThat(findJdk(wrong.toString(), named.toString()).out()).isEqualTo(named + "\n");
    }

    @Test
    void saysInOneLineWhatToInstall() throws Exception {
        Path runtimeOnly = jdk("jre", "JAVA_VERSION=\"25\"");
        Files.delete(runtimeOnly.resolve("bin/javac"));

        Tool.Result result = findJdk("", "");

        assertThat(result.status()).isEqualTo(1);
        assertThat(result.out()).isEmpty();
        assertThat(result.err())
                .isEqualTo("xenback needs JDK 25: install temurin-25-jdk (https://adoptium.net) or openjdk-25-jdk,"
                        + " or set JAVA_HOME to one\n");
    }

    @Test
    void namesMissingPackagesInOneLineWithoutRoot() throws Exception {
        Path tools = Files.createDirectory(directory.resolve("tools"));
        script(tools.resolve("dpkg-query"), "case \"$*\" in *fio*|*nbdkit*) exit 1;; esac; echo installed");
        script(tools.resolve("id"), "echo 1000");

        Tool.Result result = installPackages(tools);

        assertThat(result.status()).isEqualTo(1);
        assertThat(result.err())
                .isEqualTo("the tests need Debian packages that are missing: sudo apt-get install fio nbdkit\n");
    }

    @Test
    void installsMissingPackagesAsRootAndFetchesListsOnlyIfNeeded() throws Exception {
        Path tools = Files.createDirectory(directory.resolve("tools"));
        Path log = directory.resolve("apt.log");
        script(tools.resolve("dpkg-query"), "case \"$*\" in *fio*) exit 1;; esac; echo installed");
        script(tools.resolve("id"), "echo 0");
        script(
                tools.resolve("apt-get"),
                "echo \"$DEBIAN_FRONTEND $1\" >> " + log + "; [ \"$1\" = update ] && touch " + log + ".updated;"
                        + " [ -e " + log + ".updated ]");

        assertThat(installPackages(tools).status()).isZero();
        assertThat(log).hasContent("noninteractive install\nnoninteractive update\nnoninteractive install\n");
    }

    private Tool.Result findJdk(String javaHome, String jdkHome) throws Exception {
        try (Tool find = Tool.start(
                List.of(root().resolve("scripts/find-jdk").toString()),
                directory,
                Map.of(
                        "JAVA_HOME",
                        javaHome,
                        "JDK_HOME",
                        jdkHome,
                        "XENBACK_JVM_DIR",
                        directory.resolve("jvm").toString()))) {
            return find.awaitEnd();
        }
    }

    private Tool.Result installPackages(Path tools) throws Exception {
        try (Tool install = Tool.start(
                List.of(root().resolve("scripts/install-packages").toString()),
                directory,
                Map.of("PATH", tools + ":" + System.getenv("PATH")))) {
            return install.awaitEnd();
        }
    }

    private Path jdk(String name, String release) throws IOException {
        Path home = directory.resolve("jvm").resolve(name).normalize();
        Files.createDirectories(home.resolve("bin"));
        Files.writeString(home.resolve("release"), "IMPLEMENTOR=\"Nobody\"\n" + release + "\n");
        script(home.resolve("bin/java"), "exit 1");
        script(home.resolve("bin/javac"), "exit 1");
        return home;
    }

    private static void script(Path path, String body) throws IOException {
        Files.writeString(path, "#!/bin/bash\n" + body + "\n");
        Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
}
