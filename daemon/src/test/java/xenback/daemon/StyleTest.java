package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The rules of CONTRIBUTING.md that a program can check, on every source and document of the checkout. */
final class StyleTest {
    private static final int LONGEST_FILE_LINES = 600;

    private static final Path ROOT =
            Path.of(System.getProperty("xenback.root", "..")).toAbsolutePath().normalize();

    /** Names that say nothing about what a class is. */
    private static final Pattern EMPTY_NAME = Pattern.compile(
            "\\b(?:class|interface|record|enum)\\s+(\\w*(?:Manager|Helper|Util|Utils|Impl|Data|Info))\\b");

    /** Words that the glossary replaces, as whole words of code or comments. Each has one meaning, so a match is a slip. */
    private static final Pattern REPLACED_WORD = Pattern.compile(
            "\\b(?:vmId|diskId|deviceId|pageRef|grantId|doorbell|irq|skb|mbuf|hotplugState|remoteDomain|host side)\\b");

    private static final Pattern ACCESSOR =
            Pattern.compile("^\\s*(?:(?:public|protected|private|static|final|abstract|default)\\s+)*"
                    + "(?!return\\b|new\\b|else\\b|throw\\b)[\\w<>\\[\\]?, @.]+\\s(get[A-Z]\\w*)\\([^;]*\\{?\\s*$");

    private static final Pattern LINK = Pattern.compile("\\]\\(([^)#\\s]+)(?:#[^)]*)?\\)");

    private static List<Path> sources;
    private static List<Path> documents;

    @BeforeAll
    static void findFiles() throws IOException {
        List<Path> files;
        try (Stream<Path> walk = Files.walk(ROOT)) {
            files = walk.filter(Files::isRegularFile)
                    .filter(file -> !ROOT.relativize(file).toString().matches("(.*/)?(target|\\.git|\\.idea)(/.*)?"))
                    .toList();
        }
        sources =
                files.stream().filter(file -> file.toString().endsWith(".java")).toList();
        documents =
                files.stream().filter(file -> file.toString().endsWith(".md")).toList();
    }

    @Test
    void findsTheSources() {
        assertThat(sources).contains(ROOT.resolve("daemon/src/main/java/xenback/daemon/Main.java"));
        assertThat(documents).contains(ROOT.resolve("README.md"));
    }

    @Test
    void licenceIsThere() throws IOException {
        assertThat(Files.readString(ROOT.resolve("LICENSE")))
                .contains("Redistribution and use in source and binary forms", "The xenback authors");
    }

    @Test
    void sourcesAreAscii() throws IOException {
        assertNone(sources, line -> line.chars().anyMatch(unit -> unit > 0x7E || unit < 0x20));
    }

    @Test
    void sourcesAreShort() throws IOException {
        List<String> tooLong = new ArrayList<>();
        for (Path source : sources) {
            int lines = lines(source).size();
            if (lines > LONGEST_FILE_LINES) {
                tooLong.add(ROOT.relativize(source) + ": " + lines + " lines");
            }
        }
        assertThat(tooLong).isEmpty();
    }

    @Test
    void typesAreNamedAfterWhatTheyAre() throws IOException {
        assertNone(sources, line -> EMPTY_NAME.matcher(line).find());
    }

    @Test
    void oneThingHasOneName() throws IOException {
        assertNone(
                sources.stream()
                        .filter(source -> !source.endsWith("StyleTest.java"))
                        .toList(),
                line -> REPLACED_WORD.matcher(line).find());
    }

    @Test
    void accessorsHaveNoGetPrefix() throws IOException {
        List<String> found = new ArrayList<>();
        for (Path source : sources) {
            List<String> lines = lines(source);
            for (int i = 1; i < lines.size(); i++) {
                // What another library declares keeps its name.
                if (ACCESSOR.matcher(lines.get(i)).matches()
                        && !lines.get(i - 1).contains("@Override")) {
                    found.add(ROOT.relativize(source) + ":" + (i + 1) + ": "
                            + lines.get(i).strip());
                }
            }
        }
        assertThat(found).isEmpty();
    }

    @Test
    void nothingIsLeftToDo() throws IOException {
        assertNone(
                sources.stream()
                        .filter(source -> !source.endsWith("StyleTest.java"))
                        .toList(),
                line -> line.matches(".*\\b(?:TODO|FIXME|XXX)\\b.*"));
    }

    @Test
    void documentsLinkToFilesThatExist() throws IOException {
        List<String> dead = new ArrayList<>();
        for (Path document : documents) {
            Matcher link = LINK.matcher(Files.readString(document));
            while (link.find()) {
                String target = link.group(1);
                if (!target.contains("://") && !Files.exists(document.resolveSibling(target))) {
                    dead.add(ROOT.relativize(document) + " -> " + target);
                }
            }
        }
        assertThat(dead).isEmpty();
    }

    private static void assertNone(List<Path> files, Predicate<String> wrong) throws IOException {
        List<String> found = new ArrayList<>();
        for (Path file : files) {
            List<String> lines = lines(file);
            for (int i = 0; i < lines.size(); i++) {
                if (wrong.test(lines.get(i))) {
                    found.add(ROOT.relativize(file) + ":" + (i + 1) + ": "
                            + lines.get(i).strip());
                }
            }
        }
        assertThat(found).isEmpty();
    }

    private static List<String> lines(Path file) throws IOException {
        return Files.readAllLines(file, StandardCharsets.UTF_8);
    }
}
