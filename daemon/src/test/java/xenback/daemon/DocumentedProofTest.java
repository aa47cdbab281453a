package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import xenback.block.protocol.Rule;

/** What the documents name as proof is there: tests, their methods, scenarios of the rig; and no row goes without. */
final class DocumentedProofTest {
    private static final Path ROOT =
            Path.of(System.getProperty("xenback.root", "..")).toAbsolutePath().normalize();

    /** The placeholder by which a document explains how tests are named. */
    private static final String EXAMPLE = "SomethingTest";

    private static final Pattern TEST = Pattern.compile("`(\\w+Test)(?:#(\\w+))?`");
    private static final Pattern STRESS = Pattern.compile("`(\\w+Stress)(?:#(\\w+))?`");
    private static final Pattern SCENARIO = Pattern.compile("`rig: ([a-z0-9-]+)`");
    private static final Pattern ROW = Pattern.compile("\\| (\\d+) \\|([^|]+)\\|([^|]+)\\|([^|]*)\\|");

    /** What stands between the annotation by which JUnit runs a method and its name: no end of a statement. */
    private static final String TEST_METHOD =
            "@(?:Test|ParameterizedTest|RepeatedTest)\\b[^;{]*(?:\\{[^}]*})?[^;{]*\\bvoid ";

    private static final Map<String, Path> classes = new HashMap<>();
    private static List<Path> documents;

    @BeforeAll
    static void findFiles() throws IOException {
        List<Path> files;
        try (Stream<Path> walk = Files.walk(ROOT)) {
            files = walk.filter(Files::isRegularFile)
                    .filter(file -> !ROOT.relativize(file).toString().matches("(.*/)?(target|\\.git|\\.idea)(/.*)?"))
                    .toList();
        }
        documents =
                files.stream().filter(file -> file.toString().endsWith(".md")).toList();
        for (Path file : files) {
            String name = String.valueOf(file.getFileName());
            if (name.endsWith("Test.java") || name.endsWith("Stress.java")) {
                classes.put(name.substring(0, name.length() - ".java".length()), file);
            }
        }
    }

    @Test
    void namedTestsExist() throws IOException {
        List<String> missing = new ArrayList<>();
        int found = 0;
        for (Path document : documents) {
            Matcher name = TEST.matcher(Files.readString(document));
            while (name.find()) {
                if (!name.group(1).equals(EXAMPLE)) {
                    found++;
                    if (!exists(name.group(1), name.group(2))) {
                        missing.add(ROOT.relativize(document) + ": " + name.group());
                    }
                }
            }
        }
        assertThat(missing).isEmpty();
        assertThat(found).as("names in all documents").isGreaterThan(100);
    }

    @Test
    void namedStressTestsExist() throws IOException {
        List<String> missing = new ArrayList<>();
        for (Path document : documents) {
            Matcher name = STRESS.matcher(Files.readString(document));
            while (name.find()) {
                Path source = classes.get(name.group(1));
                if (source == null
                        || name.group(2) != null
                                && !Files.readString(source).contains("public static class " + name.group(2) + " ")) {
                    missing.add(ROOT.relativize(document) + ": " + name.group());
                }
            }
        }
        assertThat(missing).isEmpty();
    }

    @Test
    void namedScenariosExist() throws IOException {
        List<String> missing = new ArrayList<>();
        for (Path document : documents) {
            Matcher name = SCENARIO.matcher(Files.readString(document));
            while (name.find()) {
                if (!name.group(1).equals("scenario")
                        && !Files.exists(ROOT.resolve("rig/scenarios/" + name.group(1)))) {
                    missing.add(ROOT.relativize(document) + ": " + name.group());
                }
            }
        }
        assertThat(missing).isEmpty();
    }

    /** A feature that is there names what would fail without it; one that is not says "no". */
    @Test
    void everyRowOfTheBlockBackendHasItsProof() throws IOException {
        List<Integer> numbers = new ArrayList<>();
        List<String> unproven = new ArrayList<>();
        for (String line : Files.readAllLines(ROOT.resolve("docs/block.md"))) {
            Matcher row = ROW.matcher(line);
            if (row.matches()) {
                numbers.add(Integer.parseInt(row.group(1)));
                boolean present = !row.group(3).strip().startsWith("no");
                boolean proven = TEST.matcher(row.group(4)).find()
                        || SCENARIO.matcher(row.group(4)).find();
                if (present != proven) {
                    unproven.add(line);
                }
            }
        }
        assertThat(unproven).isEmpty();
        assertThat(numbers)
                .as("rows of the protocol and of the life cycle")
                .isEqualTo(IntStream.rangeClosed(1, 56).boxed().toList());
    }

    @Test
    void everyRuleHasItsProof() throws IOException {
        List<String> lines = Files.readAllLines(ROOT.resolve("SECURITY.md"));
        List<Rule> unproven = Stream.of(Rule.values())
                .filter(rule -> rule != Rule.NONE)
                .filter(rule -> lines.stream()
                        .noneMatch(line -> line.startsWith("| `" + rule + "` |")
                                && TEST.matcher(line).find()))
                .toList();
        assertThat(unproven).isEmpty();
    }

    private static boolean exists(String type, String method) throws IOException {
        Path source = classes.get(type);
        return source != null
                && (method == null
                        || Pattern.compile(TEST_METHOD + method + "\\(")
                                .matcher(Files.readString(source))
                                .find());
    }
}
