package xenback.xen.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.store.Events;
import xenback.xen.store.StoreClient;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;
import xenback.xen.store.StoreWatch;
import xenback.xen.store.wire.MessageType;

/** What domain 0 may expect of the store: nodes, transactions, watches, life. */
@Timeout(60)
class XenstoredTest {
    @TempDir
    private Path dir;

    private Xenstored store;
    private StoreClient dom0;

    @BeforeEach
    void start() throws IOException {
        store = Xenstored.start(dir.resolve("run"));
        dom0 = StoreClient.connect(store.socket());
    }

    @AfterEach
    void close() {
        dom0.close();
        store.close();
    }

    private static StorePath path(String text) {
        return StorePath.of(text);
    }

    @Test
    void beginsWithTheNodesOfTheRealOne() throws Exception {
        assertThat(dom0.directory(path("/"))).containsExactlyInAnyOrder("tool", "local");
        assertThat(dom0.exists(path("/tool/xenstored"))).isTrue();
        assertThat(dom0.directory(path("/local/domain"))).containsExactly("0");
        assertThat(dom0.permissions(path("/"))).containsExactly(StorePermission.parse("n0"));
    }

    @Test
    void makesMissingParentsWithTheirParentsPermissions() throws Exception {
        dom0.mkdir(path("/a"));
        dom0.setPermissions(path("/a"), List.of(StorePermission.parse("r0"), StorePermission.parse("b7")));
        dom0.write(path("/a/b/c"), "v");

        assertThat(dom0.require(path("/a/b/c"))).isEqualTo("v");
        assertThat(dom0.require(path("/a/b"))).isEmpty();
        assertThat(dom0.permissions(path("/a/b/c")))
                .extracting(StorePermission::text)
                .containsExactly("r0", "b7");
    }

    @Test
    void keepsEveryOctetOfAValue() throws Exception {
        StringBuilder value = new StringBuilder();
        for (int i = 0; i < 256; i++) {
            value.append((char) i);
        }
        dom0.write(path("/octets"), value.toString());

        assertThat(dom0.read(path("/octets"))).contains(value.toString());
        assertThatThrownBy(() -> dom0.write(path("/octets"), "\u20ac")).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void tellsAMissingNodeFromAnEmptyOne() throws Exception {
        dom0.write(path("/empty"), "");

        assertThat(dom0.read(path("/empty"))).contains("");
        assertThat(dom0.read(path("/missing"))).isEmpty();
        assertThat(dom0.directory(path("/missing"))).isEmpty();
        assertThatThrownBy(() -> dom0.permissions(path("/missing")))
                .isInstanceOfSatisfying(
                        StoreException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENOENT));
    }

    @Test
    void removesANodeWithAllBelowItAndNotItsNeighbour() throws Exception {
        dom0.write(path("/a/b/c"), "1");
        dom0.write(path("/a/bc"), "2");
        dom0.remove(path("/a/b"));
        dom0.remove(path("/a/b"));

        assertThat(dom0.exists(path("/a/b/c"))).isFalse();
        assertThat(dom0.directory(path("/a"))).containsExactly("bc");
    }

    @Test
    void answersRemovalOfTheMissingByItsParent() throws Exception {
        try (RawStore raw = new RawStore(store.socket())) {
            assertThat(raw.ask(MessageType.RM, "/gone\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.RM, "/gone/below\0")).isEqualTo("ENOENT\0");
            assertThat(raw.ask(MessageType.RM, "/\0")).isEqualTo("EINVAL\0");
        }
        dom0.remove(path("/gone/below"));
    }

    @Test
    void keepsTheValueWhenMkdirFindsANode() throws Exception {
        dom0.write(path("/a"), "kept");
        dom0.mkdir(path("/a"));

        assertThat(dom0.read(path("/a"))).contains("kept");
    }

    @Test
    void takesRelativePathsAsBelowTheDomainsHome() throws Exception {
        dom0.write(path("backend/vbd/1/51712/state"), "1");

        assertThat(dom0.read(path("/local/domain/0/backend/vbd/1/51712/state"))).contains("1");
    }

    @Test
    void handsOutLongDirectoriesInParts() throws Exception {
        List<String> names = new ArrayList<>();
        for (int i = 0; i < 3000; i++) {
            names.add("child-" + i);
            dom0.write(path("/many/child-" + i), "");
        }

        assertThat(dom0.directory(path("/many"))).containsExactlyInAnyOrderElementsOf(names);
        try (RawStore raw = new RawStore(store.socket())) {
            assertThat(raw.ask(MessageType.DIRECTORY, "/many\0")).isEqualTo("E2BIG\0");
            assertThat(raw.ask(MessageType.DIRECTORY_PART, "/many\0" + "1000000\0"))
                    .endsWith("\0\0");
            assertThat(raw.ask(MessageType.DIRECTORY_PART, "/many\0x\0")).isEqualTo("EINVAL\0");
        }
    }

    @Test
    void hidesATransactionUntilItCommits() throws Exception {
        dom0.write(path("/a"), "before");
        dom0.transaction(transaction -> {
            transaction.write(path("/a"), "within");
            transaction.write(path("/new/deep"), "x");
            assertThat(transaction.read(path("/a"))).contains("within");
            assertThat(dom0.read(path("/a"))).contains("before");
            assertThat(dom0.exists(path("/new"))).isFalse();
            return true;
        });

        assertThat(dom0.read(path("/a"))).contains("within");
        assertThat(dom0.read(path("/new/deep"))).contains("x");
    }

    @Test
    void leavesNothingOfAnAbortedTransaction() throws Exception {
        assertThatThrownBy(() -> dom0.transaction(transaction -> {
                    transaction.write(path("/a"), "1");
                    throw new IllegalArgumentException("changed my mind");
                }))
                .isInstanceOf(IllegalArgumentException.class);

        assertThat(dom0.exists(path("/a"))).isFalse();
    }

    @Test
    void showsATransactionTheTreeOfItsStart() throws Exception {
        dom0.write(path("/a"), "old");
        try (RawStore raw = new RawStore(store.socket())) {
            int id = raw.start();
            dom0.write(path("/a"), "new");

            assertThat(raw.ask(MessageType.READ, id, "/a\0")).isEqualTo("old");
        }
    }

    @Test
    void refusesToCommitWhatAnotherChangeMadeUntrue() throws Exception {
        record Case(String what, MessageType type, String body, String changed) {}
        for (Case c : List.of(
                new Case("read of a value", MessageType.READ, "/t/value\0", "/t/value"),
                new Case("read of a missing node", MessageType.READ, "/t/missing\0", "/t/missing"),
                new Case("list of children", MessageType.DIRECTORY, "/t\0", "/t/another"),
                new Case("write of a value", MessageType.WRITE, "/t/value\0x", "/t/value"),
                new Case("creation in the same node", MessageType.WRITE, "/t/mine\0x", "/t/theirs"),
                new Case("removal of a tree", MessageType.RM, "/t/tree\0", "/t/tree/deep/er"))) {
            dom0.remove(path("/t"));
            dom0.write(path("/t/value"), "");
            dom0.write(path("/t/tree/deep"), "");
            try (RawStore raw = new RawStore(store.socket())) {
                int id = raw.start();
                raw.ask(c.type, id, c.body);
                dom0.write(path(c.changed), "changed");

                assertThat(raw.ask(MessageType.TRANSACTION_END, id, "T\0"))
                        .as(c.what)
                        .isEqualTo("EAGAIN\0");
                assertThat(raw.ask(MessageType.TRANSACTION_END, id, "T\0"))
                        .as(c.what)
                        .isEqualTo("ENOENT\0");
            }
        }
    }

    @Test
    void commitsTransactionsThatDoNotMeet() throws Exception {
        dom0.write(path("/one/a"), "");
        dom0.write(path("/two/b"), "");
        try (RawStore raw = new RawStore(store.socket())) {
            int first = raw.start();
            int second = raw.start();
            raw.ask(MessageType.WRITE, first, "/one/a/x\0001");
            raw.ask(MessageType.WRITE, second, "/two/b/y\0002");
            raw.ask(MessageType.RM, second, "/two/b/y\0");
            raw.ask(MessageType.WRITE, second, "/two/b\0003");

            assertThat(raw.ask(MessageType.TRANSACTION_END, first, "T\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.TRANSACTION_END, second, "T\0")).isEqualTo("OK\0");
        }
        assertThat(dom0.read(path("/one/a/x"))).contains("1");
        assertThat(dom0.read(path("/two/b"))).contains("3");
        assertThat(dom0.exists(path("/two/b/y"))).isFalse();
    }

    @Test
    void replacesATreeWithinATransaction() throws Exception {
        dom0.write(path("/a/old/deep"), "1");
        dom0.transaction(transaction -> {
            dom0.write(path("/elsewhere"), "so that the live tree is not the snapshot any more");
            transaction.remove(path("/a"));
            transaction.write(path("/a/new"), "2");
            return true;
        });

        assertThat(dom0.directory(path("/a"))).containsExactly("new");
    }

    @Test
    void countsRightUnderConflict() throws Exception {
        dom0.write(path("/counter"), "0");
        List<Thread> threads = new ArrayList<>();
        List<Throwable> failures = new ArrayList<>();
        for (int t = 0; t < 2; t++) {
            Thread thread = Thread.ofPlatform().unstarted(() -> {
                try (StoreClient client = StoreClient.connect(store.socket())) {
                    for (int i = 0; i < 50; i++) {
                        addOne(client);
                    }
                } catch (StoreException e) {
                    failures.add(e);
                }
            });
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) {
            thread.join();
        }

        assertThat(failures).isEmpty();
        assertThat(dom0.read(path("/counter"))).contains("100");
    }

    private static void addOne(StoreClient client) throws StoreException {
        while (true) {
            try {
                client.transaction(transaction -> {
                    int now = Integer.parseInt(transaction.require(path("/counter")));
                    transaction.write(path("/counter"), Integer.toString(now + 1));
                    return true;
                });
                return;
            } catch (StoreException e) {
                assertThat(e.errno()).isEqualTo(Errno.EAGAIN); // ten conflicts in a row are bad luck, not a defect
            }
        }
    }

    @Test
    void knowsOnlyItsOwnTransactions() throws Exception {
        try (RawStore raw = new RawStore(store.socket());
                RawStore other = new RawStore(store.socket())) {
            int id = raw.start();

            assertThat(raw.ask(MessageType.TRANSACTION_START, id, "\0")).isEqualTo("EBUSY\0");
            assertThat(other.ask(MessageType.READ, id, "/\0")).isEqualTo("ENOENT\0");
            assertThat(raw.ask(MessageType.TRANSACTION_END, id, "X\0")).isEqualTo("EINVAL\0");
            assertThat(raw.ask(MessageType.TRANSACTION_END, id, "F\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.READ, id, "/\0")).isEqualTo("ENOENT\0");
        }
    }

    @Test
    void firesAWatchAtRegistrationAndOnEachKindOfChange() throws Exception {
        Events events = new Events();
        dom0.watch(path("/w"), events);
        assertThat(events.next()).isEqualTo("/w");

        dom0.write(path("/w"), "made");
        assertThat(events.next()).isEqualTo("/w");
        dom0.write(path("/w/a/b"), "below");
        assertThat(events.next()).isEqualTo("/w/a/b");
        dom0.setPermissions(path("/w/a"), List.of(StorePermission.parse("r0")));
        assertThat(events.next()).isEqualTo("/w/a");
        dom0.remove(path("/w/a"));
        assertThat(events.next()).isEqualTo("/w/a");
        dom0.write(path("/wide"), "a neighbour");
        dom0.mkdir(path("/w"));
        dom0.remove(path("/w"));
        assertThat(events.next()).isEqualTo("/w");
    }

    @Test
    void reportsRemovalOfAnAncestorAsTheWatchedPath() throws Exception {
        dom0.write(path("/x/y/z"), "");
        Events events = new Events();
        dom0.watch(path("/x/y/z"), events);
        events.next();
        dom0.remove(path("/x"));

        assertThat(events.next()).isEqualTo("/x/y/z");
    }

    @Test
    void firesForATransactionAtItsCommitOnly() throws Exception {
        dom0.write(path("/w/fence"), "");
        Events events = new Events();
        dom0.watch(path("/w"), events);
        events.next();
        dom0.transaction(transaction -> {
            transaction.write(path("/w/a"), "");
            dom0.write(path("/w/fence"), "not yet");
            assertThat(events.upTo("/w/fence")).containsExactly("/w/fence");
            return true;
        });
        assertThat(events.next()).isEqualTo("/w/a");

        assertThatThrownBy(() -> dom0.transaction(transaction -> {
                    transaction.write(path("/w/b"), "");
                    throw new IllegalStateException("abort");
                }))
                .isInstanceOf(IllegalStateException.class);
        dom0.write(path("/w/fence"), "");
        assertThat(events.upTo("/w/fence")).containsExactly("/w/fence");
    }

    @Test
    void namesRelativePathsToRelativeWatches() throws Exception {
        Events events = new Events();
        dom0.watch(path("backend"), events);
        assertThat(events.next()).isEqualTo("backend");
        dom0.write(path("/local/domain/0/backend/vbd"), "");

        assertThat(events.next()).isEqualTo("backend/vbd");
    }

    @Test
    void stopsAWatchThatIsClosed() throws Exception {
        Events closed = new Events();
        Events fence = new Events();
        StoreWatch watch = dom0.watch(path("/w"), closed);
        closed.next();
        watch.close();
        watch.close();
        dom0.watch(path("/w"), fence);
        dom0.write(path("/w/a"), "");

        fence.upTo("/w/a");
        dom0.watch(path("/w/a"), closed);
        assertThat(closed.next()).isEqualTo("/w/a");
        try (RawStore raw = new RawStore(store.socket())) {
            assertThat(raw.ask(MessageType.WATCH, "/w\0t\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.WATCH, "/w\0t\0")).isEqualTo("EEXIST\0");
            assertThat(raw.ask(MessageType.UNWATCH, "/w\0other\0")).isEqualTo("ENOENT\0");
            assertThat(raw.ask(MessageType.UNWATCH, "/w\0t\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.UNWATCH, "/w\0t\0")).isEqualTo("ENOENT\0");
        }
    }

    @Test
    void dropsWatchesAndTransactionsOnResetEvenInsideATransaction() throws Exception {
        try (RawStore raw = new RawStore(store.socket())) {
            raw.ask(MessageType.WATCH, "/w\0t\0");
            int id = raw.start();

            assertThat(raw.ask(MessageType.RESET_WATCHES, id, "\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.UNWATCH, "/w\0t\0")).isEqualTo("ENOENT\0");
            assertThat(raw.ask(MessageType.READ, id, "/\0")).isEqualTo("ENOENT\0");
        }
    }

    @Test
    void tellsOfDomainsThatComeAndGo() throws Exception {
        Events introduced = new Events();
        Events released = new Events();
        dom0.watchSpecial("@introduceDomain", introduced);
        dom0.watchSpecial("@releaseDomain", released);
        introduced.next();
        released.next();

        store.introduce(5);
        assertThat(introduced.next()).isEqualTo("@introduceDomain");
        assertThat(store.socket(5)).exists();
        store.release(5);
        assertThat(released.next()).isEqualTo("@releaseDomain");
        assertThat(store.socket(5)).doesNotExist();
        assertThatThrownBy(() -> dom0.watchSpecial("introduceDomain", introduced))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void letsTheToolstackManageDomainsByMessage() throws Exception {
        try (RawStore raw = new RawStore(store.socket())) {
            assertThat(raw.ask(MessageType.IS_DOMAIN_INTRODUCED, "9\0")).isEqualTo("F\0");
            assertThat(raw.ask(MessageType.INTRODUCE, "9\0001234\0007\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.IS_DOMAIN_INTRODUCED, "9\0")).isEqualTo("T\0");
            assertThat(store.socket(9)).exists();
            assertThat(raw.ask(MessageType.GET_DOMAIN_PATH, "9\0")).isEqualTo("/local/domain/9\0");
            assertThat(raw.ask(MessageType.RESUME, "9\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.RESUME, "8\0")).isEqualTo("ENOENT\0");
            assertThat(raw.ask(MessageType.SET_TARGET, "9\0008\0")).isEqualTo("ENOENT\0");
            assertThat(raw.ask(MessageType.RELEASE, "9\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.RELEASE, "9\0")).isEqualTo("ENOENT\0");
            assertThat(raw.ask(MessageType.RELEASE, "0\0")).isEqualTo("EINVAL\0");
            assertThat(raw.ask(MessageType.INTRODUCE, "32752\0001\0001\0")).isEqualTo("EINVAL\0");
            assertThat(raw.ask(MessageType.RESTRICT, "9\0")).isEqualTo("ENOSYS\0");
            assertThat(raw.ask(MessageType.CONTROL, "check\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.CONTROL, "help\0")).contains("print");
            assertThat(raw.ask(MessageType.CONTROL, "live-update\0")).isEqualTo("EINVAL\0");
        }
        assertThat(dom0.domainPath(3)).isEqualTo(path("/local/domain/3"));
    }

    @Test
    void keepsItsFilesToItselfAndTakesThemAway() throws Exception {
        store.introduce(1);

        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(store.runDir())))
                .isEqualTo("rwx------");
        for (Path socket : List.of(store.socket(), store.socket(1))) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)))
                    .isEqualTo("rw-------");
        }
        store.close();
        assertThat(store.runDir()).isEmptyDirectory();
        assertThatThrownBy(() -> store.introduce(2))
                .isInstanceOfSatisfying(
                        XenException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EIO));
    }

    @Test
    void refusesADirectoryInUseAndReplacesWhatTheDeadLeft() throws Exception {
        assertThatThrownBy(() -> Xenstored.start(store.runDir()))
                .isInstanceOfSatisfying(
                        XenException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EADDRINUSE))
                .hasMessageContaining(store.socket().toString());
        assertThat(dom0.exists(path("/tool")))
                .as("the living one still answers")
                .isTrue();

        Path other = Files.createDirectory(dir.resolve("other"));
        leaveStaleSocket(other.resolve("socket"));
        leaveStaleSocket(other.resolve("socket.3"));
        try (Xenstored second = Xenstored.start(other)) {
            second.introduce(3);
            try (StoreClient guest = StoreClient.connect(second.socket(3))) {
                assertThat(guest.isConnected()).isTrue();
            }
        }
    }

    private static void leaveStaleSocket(Path socket) throws IOException {
        try (var channel = java.nio.channels.ServerSocketChannel.open(java.net.StandardProtocolFamily.UNIX)) {
            channel.bind(java.net.UnixDomainSocketAddress.of(socket));
        }
        assertThat(socket).exists();
    }

    @Test
    void neverDeletesAFileThatIsNoSocket() throws Exception {
        Path other = Files.createDirectory(dir.resolve("other"));
        Files.writeString(other.resolve("socket"), "precious");

        assertThatThrownBy(() -> Xenstored.start(other)).isInstanceOf(XenException.class);
        assertThat(other.resolve("socket")).hasContent("precious");
    }

    @Test
    void outlivesAClientThatLeavesInTheMiddle() throws Exception {
        try (RawStore raw = new RawStore(store.socket())) {
            raw.ask(MessageType.WATCH, "/w\0t\0");
            int id = raw.start();
            raw.ask(MessageType.WRITE, id, "/w/a\0x");
        }
        dom0.write(path("/w/b"), "");

        assertThat(dom0.read(path("/w/a"))).isEqualTo(Optional.empty());
    }
}
