package xenback.xen.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.Errno;
import xenback.xen.store.Events;
import xenback.xen.store.StoreClient;
import xenback.xen.store.StoreException;
import xenback.xen.store.StorePath;
import xenback.xen.store.StorePermission;
import xenback.xen.store.wire.MessageType;

/** What a domain may and may not do on its own socket: rights, quotas, the end. */
@Timeout(60)
class XenstoredGuestTest {
    private static final int DOMID = 3;

    @TempDir
    private Path dir;

    private Xenstored store;
    private StoreClient dom0;
    private StoreClient guest;

    @BeforeEach
    void start() throws IOException {
        store = Xenstored.start(dir.resolve("run"));
        dom0 = StoreClient.connect(store.socket());
        store.introduce(DOMID);
        guest = StoreClient.connect(store.socket(DOMID));
        dom0.write(path("/local/domain/3"), "");
        permit("/local/domain/3", "n3");
    }

    @AfterEach
    void close() {
        guest.close();
        dom0.close();
        store.close();
    }

    private static StorePath path(String text) {
        return StorePath.of(text);
    }

    private void permit(String path, String... permissions) throws StoreException {
        dom0.setPermissions(
                path(path),
                Arrays.stream(permissions).map(StorePermission::parse).toList());
    }

    private static void assertRefused(Errno errno, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        StoreException.class, e -> assertThat(e.errno()).isEqualTo(errno));
    }

    @Test
    void resolvesRelativePathsInItsHome() throws Exception {
        guest.write(path("device/vbd/51712/state"), "1");

        assertThat(dom0.read(path("/local/domain/3/device/vbd/51712/state"))).contains("1");
    }

    @Test
    void ownsWhatItMakesAndInheritsTheRest() throws Exception {
        permit("/local/domain/3", "n3", "r0", "b9");
        dom0.mkdir(path("/shared"));
        permit("/shared", "b0");
        guest.write(path("device"), "");
        guest.write(path("/shared/mine"), "");

        assertThat(dom0.permissions(path("/local/domain/3/device")))
                .extracting(StorePermission::text)
                .containsExactly("n3", "r0", "b9");
        assertThat(dom0.permissions(path("/shared/mine")))
                .extracting(StorePermission::text)
                .containsExactly("b3");
    }

    @Test
    void isHeldToThePermissionsOfEachNode() throws Exception {
        dom0.write(path("/readable"), "r");
        permit("/readable", "n0", "r3");
        dom0.write(path("/writable"), "w");
        permit("/writable", "n0", "w3");
        dom0.write(path("/open"), "o");
        permit("/open", "b0", "n3");
        dom0.write(path("/secret"), "s");

        assertThat(guest.read(path("/readable"))).contains("r");
        assertRefused(Errno.EACCES, () -> guest.write(path("/readable"), "x"));
        assertRefused(Errno.EACCES, () -> guest.remove(path("/readable")));
        assertRefused(Errno.EACCES, () -> guest.write(path("/readable/child"), "x"));
        guest.write(path("/writable"), "x");
        assertRefused(Errno.EACCES, () -> guest.read(path("/writable")));
        assertRefused(Errno.EACCES, () -> guest.read(path("/open")));
        assertRefused(Errno.EACCES, () -> guest.read(path("/secret")));
        assertRefused(Errno.EACCES, () -> guest.directory(path("/")));
        assertRefused(Errno.EACCES, () -> guest.permissions(path("/secret")));
    }

    @Test
    void isNotToldWhetherANodeItMayNotSeeIsThere() throws Exception {
        dom0.write(path("/secret/there"), "");

        assertRefused(Errno.EACCES, () -> guest.read(path("/secret/there")));
        assertRefused(Errno.EACCES, () -> guest.read(path("/secret/missing")));
        assertRefused(Errno.EACCES, () -> guest.read(path("/missing")));
        assertThat(guest.read(path("missing"))).isEmpty();
    }

    @Test
    void setsPermissionsOfItsOwnNodesOnly() throws Exception {
        guest.write(path("mine"), "");
        guest.setPermissions(path("mine"), List.of(StorePermission.parse("r3"), StorePermission.parse("b0")));
        assertThat(guest.permissions(path("mine"))).hasSize(2);

        assertRefused(Errno.EPERM, () -> guest.setPermissions(path("mine"), List.of(StorePermission.parse("n0"))));
        List<StorePermission> six = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            six.add(StorePermission.parse("r3"));
        }
        assertRefused(Errno.ENOSPC, () -> guest.setPermissions(path("mine"), six));
        dom0.write(path("/open"), "");
        permit("/open", "b0");
        assertRefused(Errno.EACCES, () -> guest.setPermissions(path("/open"), List.of(StorePermission.parse("b3"))));
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            assertThat(raw.ask(MessageType.SET_PERMS, "mine\0")).isEqualTo("EINVAL\0");
            assertThat(raw.ask(MessageType.SET_PERMS, "mine\0x3\0")).isEqualTo("EINVAL\0");
            assertThat(raw.ask(MessageType.SET_PERMS, "mine\0r3")).isEqualTo("EINVAL\0");
            assertThat(raw.ask(MessageType.SET_PERMS, "@releaseDomain\0r3\0")).isEqualTo("EACCES\0");
        }
    }

    @Test
    void mayNotDoTheToolstacksWork() throws Exception {
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            assertThat(raw.ask(MessageType.INTRODUCE, "4\0001\0001\0")).isEqualTo("EACCES\0");
            assertThat(raw.ask(MessageType.RELEASE, "3\0")).isEqualTo("EACCES\0");
            assertThat(raw.ask(MessageType.RESUME, "3\0")).isEqualTo("EACCES\0");
            assertThat(raw.ask(MessageType.SET_TARGET, "3\0000\0")).isEqualTo("EACCES\0");
            assertThat(raw.ask(MessageType.CONTROL, "check\0")).isEqualTo("EACCES\0");
            assertThat(raw.ask(MessageType.GET_DOMAIN_PATH, "3\0")).isEqualTo("/local/domain/3\0");
        }
    }

    @Test
    void hasTheRightsOfItsTarget() throws Exception {
        store.introduce(4);
        dom0.write(path("/local/domain/4/x"), "of four");
        permit("/local/domain/4/x", "n4");
        assertRefused(Errno.EACCES, () -> guest.read(path("/local/domain/4/x")));
        try (RawStore raw = new RawStore(store.socket())) {
            assertThat(raw.ask(MessageType.SET_TARGET, "3\0004\0")).isEqualTo("OK\0");
        }

        assertThat(guest.read(path("/local/domain/4/x"))).contains("of four");
    }

    @Test
    void hearsNothingOfNodesItCannotSee() throws Exception {
        dom0.write(path("/private/x/secret"), "");
        dom0.write(path("/private/x/fence"), "");
        permit("/private/x/fence", "n0", "r3");
        Events events = new Events();
        guest.watch(path("/private"), events);
        events.next();
        dom0.write(path("/private/x/secret"), "changed");
        dom0.remove(path("/private/x/secret"));
        dom0.write(path("/private/x/fence"), "");

        assertThat(events.upTo("/private/x/fence")).containsExactly("/private/x/fence");
    }

    @Test
    void hearsThatARightIsTakenAway() throws Exception {
        dom0.write(path("/p/x"), "");
        permit("/p/x", "n0", "r3");
        Events events = new Events();
        guest.watch(path("/p/x"), events);
        events.next();
        permit("/p/x", "n0");

        assertThat(events.next()).isEqualTo("/p/x");
    }

    @Test
    void hearsOfOtherDomainsOnlyIfAllowed() throws Exception {
        Events events = new Events();
        guest.watchSpecial("@introduceDomain", events);
        guest.watch(path("fence"), events);
        events.upTo("fence");
        store.introduce(7);
        guest.write(path("fence"), "");
        assertThat(events.upTo("fence")).containsExactly("fence");

        dom0.setPermissions(
                path("@introduceDomain"), List.of(StorePermission.parse("n0"), StorePermission.parse("r3")));
        store.introduce(8);
        assertThat(events.next()).isEqualTo("@introduceDomain");
    }

    @Test
    void ownsNoMoreNodesThanItsQuota() throws Exception {
        int made = 1; // its home
        for (int dir = 0; made + 100 <= StoreQuota.NODES; dir++) {
            guest.write(path("d" + dir), "");
            made++;
            for (int i = 0; i < 99; i++, made++) {
                guest.write(path("d" + dir + "/" + i), "");
            }
        }
        for (int i = 0; made < StoreQuota.NODES; i++, made++) {
            guest.write(path("rest" + i), "");
        }

        assertRefused(Errno.ENOSPC, () -> guest.write(path("one-more"), ""));
        assertRefused(
                Errno.ENOSPC,
                () -> guest.transaction(transaction -> {
                    transaction.mkdir(path("one-more"));
                    return true;
                }));
        guest.write(path("rest0"), "what is there may be written");
        dom0.write(path("/local/domain/3/by-dom0"), "dom0 has no quota, though the guest is charged");
        guest.remove(path("rest0"));
        guest.remove(path("rest1"));
        guest.write(path("one-more"), "");
        assertRefused(Errno.ENOSPC, () -> guest.write(path("two-more"), ""));
    }

    @Test
    void cannotOutwitTheQuotaWithTwoTransactions() throws Exception {
        for (int i = 0; i < 990; i++) {
            guest.write(path("d" + i % 10 + "/" + i), "");
            if (i == 979) {
                break; // 980 leaves, 10 directories, the home: 9 are left
            }
        }
        guest.write(path("a/x"), "");
        guest.write(path("b/x"), "");
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            int first = raw.start();
            int second = raw.start();
            for (int i = 0; i < 4; i++) {
                assertThat(raw.ask(MessageType.WRITE, first, "a/x/" + i + "\0")).isEqualTo("OK\0");
                assertThat(raw.ask(MessageType.WRITE, second, "b/x/" + i + "\0"))
                        .isEqualTo("OK\0");
            }
            assertThat(raw.ask(MessageType.TRANSACTION_END, first, "T\0")).isEqualTo("OK\0");
            assertThat(raw.ask(MessageType.TRANSACTION_END, second, "T\0")).isEqualTo("ENOSPC\0");
        }
    }

    @Test
    void keepsANodeWithinItsSize() throws Exception {
        guest.write(path("value"), "v".repeat(2000));
        assertRefused(Errno.ENOSPC, () -> guest.write(path("value"), "v".repeat(2048)));
        assertRefused(Errno.ENOSPC, () -> guest.write(path("other"), "v".repeat(2048)));
        dom0.write(path("/local/domain/3/large"), "v".repeat(4000));
        assertThat(guest.read(path("large"))).contains("v".repeat(4000));

        String name = "n".repeat(100);
        for (int i = 0; i < 19; i++) {
            guest.write(path("names/" + name + i), "");
        }
        assertRefused(Errno.ENOSPC, () -> {
            guest.write(path("names/" + name + "19"), "");
            guest.write(path("names/" + name + "20"), "");
        });
    }

    @Test
    void keepsItsPathsWithinTheirLength() throws Exception {
        String part = "p".repeat(400);
        guest.write(path(part), "");

        assertRefused(Errno.EINVAL, () -> guest.read(path("/local/domain/3/" + "x".repeat(2049))));
        assertThat(guest.read(path("x".repeat(2048)))).isEmpty();
    }

    @Test
    void registersNoMoreWatchesThanItsQuotaOnAllConnectionsTogether() throws Exception {
        try (RawStore two = new RawStore(store.socket(DOMID))) {
            try (RawStore one = new RawStore(store.socket(DOMID))) {
                for (int i = 0; i < 64; i++) {
                    assertThat(one.ask(MessageType.WATCH, "w\0" + i + "\0")).isEqualTo("OK\0");
                    assertThat(two.ask(MessageType.WATCH, "w\0" + i + "\0")).isEqualTo("OK\0");
                }
                assertThat(two.ask(MessageType.WATCH, "w\0more\0")).isEqualTo("E2BIG\0");
                assertThat(one.ask(MessageType.UNWATCH, "w\0" + 0 + "\0")).isEqualTo("OK\0");
                assertThat(two.ask(MessageType.WATCH, "w\0more\0")).isEqualTo("OK\0");
                assertThat(watches(two, "again")).isFalse();
            }
            Events.await("the dead connection's watches are given back", () -> watches(two, "again"));
        }
    }

    private static boolean watches(RawStore raw, String token) {
        try {
            return raw.ask(MessageType.WATCH, "w\0" + token + "\0").equals("OK\0");
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void opensNoMoreTransactionsThanItsQuota() throws Exception {
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            int first = raw.start();
            for (int i = 1; i < StoreQuota.TRANSACTIONS; i++) {
                raw.start();
            }
            assertThat(raw.ask(MessageType.TRANSACTION_START, "\0")).isEqualTo("ENOSPC\0");
            raw.ask(MessageType.TRANSACTION_END, first, "F\0");
            assertThat(raw.start()).isPositive();
        }
    }

    @Test
    void touchesNoMoreNodesInATransactionThanItsQuota() throws Exception {
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            int id = raw.start();
            for (int i = 0; i < StoreQuota.TRANSACTION_NODES; i++) {
                assertThat(raw.ask(MessageType.READ, id, "n" + i + "\0")).isEqualTo("ENOENT\0");
            }
            assertThat(raw.ask(MessageType.READ, id, "one-more\0")).isEqualTo("ENOSPC\0");
            assertThat(raw.ask(MessageType.READ, id, "n0\0")).isEqualTo("ENOENT\0");
        }
    }

    @Test
    void keepsTransactionsWithinItsMemory() throws Exception {
        for (int i = 0; i < 900; i++) {
            guest.write(path("d" + i % 10 + "/" + i), "");
        }
        String answer = "OK\0";
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            for (int t = 0; t < StoreQuota.TRANSACTIONS; t++) {
                int id = raw.start();
                for (int i = 0; i < 900 && answer.equals("OK\0"); i++) {
                    answer = raw.ask(MessageType.WRITE, id, "d" + i % 10 + "/" + i + "\0" + "v".repeat(1900));
                }
            }
            assertThat(answer).isEqualTo("ENOMEM\0");
        }
    }

    @Test
    void opensNoMoreConnectionsThanItsShareAndLeavesDomain0InPeace() throws Exception {
        List<RawStore> open = new ArrayList<>();
        for (int i = 0; i < StoreQuota.CONNECTIONS - 1; i++) {
            open.add(new RawStore(store.socket(DOMID)));
            open.getLast().ask(MessageType.READ, "x\0");
        }
        try (RawStore oneMore = new RawStore(store.socket(DOMID))) {
            oneMore.awaitEnd();
        }
        assertThat(dom0.exists(path("/tool"))).isTrue();
        assertThat(store.droppedConnections()).isEqualTo(1);
        for (RawStore raw : open) {
            raw.close();
        }
    }

    @Test
    void leavesNothingToTheNextDomainOfItsNumber() throws Exception {
        guest.write(path("left"), "behind");
        dom0.write(path("/granted"), "");
        permit("/granted", "n0", "r3", "r5");
        try (RawStore raw = new RawStore(store.socket(DOMID))) {
            raw.ask(MessageType.WATCH, "left\0t\0");
            store.release(DOMID);
            raw.awaitEnd();
        }
        // Its socket is gone, so it stays lost; else the wait below could end before the loss is seen.
        Events.await("the client has seen its loss", () -> !guest.isConnected());
        store.introduce(DOMID);
        Events.await("the client comes back to the new socket", guest::isConnected);

        assertThat(dom0.permissions(path("/local/domain/3/left")))
                .extracting(StorePermission::text)
                .containsExactly("n0");
        assertThat(dom0.permissions(path("/granted")))
                .extracting(StorePermission::text)
                .containsExactly("n0", "r5");
        assertRefused(Errno.EACCES, () -> guest.read(path("left")));
        assertRefused(Errno.EACCES, () -> guest.read(path("/granted")));
    }
}
