package xenback.xen.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.store.StoreClient;
import xenback.xen.store.StorePath;
import xenback.xen.store.wire.MessageType;

/**
 * Random requests, alone and in overlapping transactions, against a store that is a sorted map. The rule for a
 * transaction is serialisability itself: if it commits, all it was told must be what it would be told now, done at once.
 * If it conflicts, something must have changed since it began.
 */
@Timeout(60)
class XenstoredModelTest {
    private static final String[] NAMES = {"a", "b", "c"};

    @TempDir
    private Path dir;

    /** A request and what the store said. */
    private record Told(MessageType type, String path, String value, String answer) {}

    private static final class Open {
        final int id;
        final long startedAt;
        final List<Told> told = new ArrayList<>();

        Open(int id, long startedAt) {
            this.id = id;
            this.startedAt = startedAt;
        }
    }

    private TreeMap<String, String> model = new TreeMap<>();
    private long changes;

    @RepeatedTest(5)
    void agreesWithAMapThatDoesOneThingAtATime() throws Exception {
        long seed = Long.getLong("seed", System.nanoTime());
        System.out.println("XenstoredModelTest -Dseed=" + seed);
        Random random = new Random(seed);
        int commits = 0;
        int conflicts = 0;
        try (Xenstored store = Xenstored.start(dir.resolve("run"));
                RawStore raw = new RawStore(store.socket());
                StoreClient reader = StoreClient.connect(store.socket())) {
            raw.ask(MessageType.WRITE, "/m\0");
            model.put("/m", "");
            List<Open> open = new ArrayList<>();
            for (int step = 0; step < 4_000; step++) {
                int choice = random.nextInt(20);
                if (choice == 0 && open.size() < 4) {
                    open.add(new Open(raw.start(), changes));
                } else if (choice < 3 && !open.isEmpty()) {
                    if (end(raw, open.remove(random.nextInt(open.size())), random)) {
                        commits++;
                    } else {
                        conflicts++;
                    }
                } else if (choice < 14 && !open.isEmpty()) {
                    Open transaction = open.get(random.nextInt(open.size()));
                    transaction.told.add(ask(raw, transaction.id, random));
                } else if (choice > 17 || open.isEmpty()) {
                    Told told = ask(raw, 0, random);
                    changes++;
                    assertThat(apply(model, told)).as("step %d: %s", step, told).isEqualTo(told.answer);
                }
                if (step % 200 == 0) {
                    assertThat(tree(reader)).as("step %d", step).isEqualTo(model);
                }
            }
            assertThat(tree(reader)).isEqualTo(model);
            assertThat(commits).isPositive();
            assertThat(conflicts).isPositive();
        }
    }

    private static Told ask(RawStore raw, int transactionId, Random random) throws IOException {
        MessageType[] types = {
            MessageType.READ,
            MessageType.WRITE,
            MessageType.WRITE,
            MessageType.RM,
            MessageType.MKDIR,
            MessageType.DIRECTORY
        };
        MessageType type = types[random.nextInt(types.length)];
        StringBuilder path = new StringBuilder("/m");
        for (int depth = random.nextInt(1, 4); depth > 0; depth--) {
            path.append('/').append(NAMES[random.nextInt(NAMES.length)]);
        }
        String value = type == MessageType.WRITE ? Integer.toString(random.nextInt(100)) : "";
        return new Told(type, path.toString(), value, raw.ask(type, transactionId, path + "\0" + value));
    }

    /** True if it committed. */
    private boolean end(RawStore raw, Open transaction, Random random) throws IOException {
        if (random.nextInt(5) == 0) {
            assertThat(raw.ask(MessageType.TRANSACTION_END, transaction.id, "F\0"))
                    .isEqualTo("OK\0");
            return false;
        }
        String answer = raw.ask(MessageType.TRANSACTION_END, transaction.id, "T\0");
        if (answer.equals("EAGAIN\0")) {
            assertThat(changes).as("a conflict with nobody").isGreaterThan(transaction.startedAt);
            return false;
        }
        assertThat(answer).isEqualTo("OK\0");
        TreeMap<String, String> next = new TreeMap<>(model);
        for (Told told : transaction.told) {
            assertThat(apply(next, told))
                    .as("committed, but now untrue: %s", told)
                    .isEqualTo(told.answer);
        }
        model = next;
        changes++;
        return true;
    }

    /** Does to a map what the store did, and says what the store should have said. */
    private static String apply(NavigableMap<String, String> nodes, Told told) {
        String path = told.path;
        return switch (told.type) {
            case READ -> nodes.getOrDefault(path, "ENOENT\0");
            case DIRECTORY -> nodes.containsKey(path) ? children(nodes, path) : "ENOENT\0";
            case MKDIR -> put(nodes, path, nodes.getOrDefault(path, ""));
            case WRITE -> put(nodes, path, told.value);
            case RM -> {
                if (!nodes.containsKey(path.substring(0, path.lastIndexOf('/')))) {
                    yield "ENOENT\0";
                }
                nodes.keySet().removeIf(each -> each.equals(path) || each.startsWith(path + "/"));
                yield "OK\0";
            }
            default -> throw new IllegalArgumentException(told.toString());
        };
    }

    private static String put(NavigableMap<String, String> nodes, String path, String value) {
        for (int slash = path.indexOf('/', 1); slash > 0; slash = path.indexOf('/', slash + 1)) {
            nodes.putIfAbsent(path.substring(0, slash), "");
        }
        nodes.put(path, value);
        return "OK\0";
    }

    private static String children(NavigableMap<String, String> nodes, String path) {
        StringBuilder names = new StringBuilder();
        for (String each : nodes.tailMap(path + "/").keySet()) {
            if (!each.startsWith(path + "/")) {
                break;
            }
            if (each.indexOf('/', path.length() + 1) < 0) {
                names.append(each.substring(path.length() + 1)).append('\0');
            }
        }
        return names.toString();
    }

    private static Map<String, String> tree(StoreClient reader) throws IOException {
        Map<String, String> found = new HashMap<>();
        walk(reader, StorePath.of("/m"), found);
        return found;
    }

    private static void walk(StoreClient reader, StorePath path, Map<String, String> found) throws IOException {
        found.put(path.text(), reader.require(path));
        for (String child : reader.directory(path)) {
            walk(reader, path.child(child), found);
        }
    }
}
