package xenback.xen.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import xenback.xen.Errno;
import xenback.xen.embedded.RawStore;
import xenback.xen.embedded.Xenstored;
import xenback.xen.store.wire.MessageType;
import xenback.xen.store.wire.StoreMessage;

/** The client against a sound daemon, one that goes away, and ones that misbehave. */
@Timeout(60)
class StoreClientTest {
    private static final StorePath A = StorePath.of("/a");

    @TempDir
    private Path dir;

    private static void assertErrno(Errno errno, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        StoreException.class, e -> assertThat(e.errno()).isEqualTo(errno));
    }

    @Test
    void saysWhereNobodyAnswers() {
        Path socket = dir.resolve("nothing");

        assertThatThrownBy(() -> StoreClient.connect(socket))
                .isInstanceOf(StoreException.class)
                .hasMessageContaining(socket.toString());
    }

    @Test
    void servesManyCallersAtOnce() throws Exception {
        try (Xenstored store = Xenstored.start(dir.resolve("run"));
                StoreClient client = StoreClient.connect(store.socket());
                ExecutorService callers = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<String>> reads = new ArrayList<>();
            for (int i = 0; i < 500; i++) {
                StorePath path = StorePath.of("/many/" + i);
                String value = "v" + i;
                reads.add(callers.submit(() -> {
                    client.write(path, value);
                    return client.require(path);
                }));
            }
            for (int i = 0; i < 500; i++) {
                assertThat(reads.get(i).get()).isEqualTo("v" + i);
            }
        }
    }

    @Test
    void matchesAnswersThatComeInAnotherOrder() throws Exception {
        List<StoreMessage> held = new ArrayList<>();
        ScriptedDaemon.Script reversed = request -> {
            held.addFirst(request);
            if (held.size() < 3) {
                return List.of();
            }
            return held.stream()
                    .map(each -> ScriptedDaemon.bytes(each.type(), each.requestId(), "about " + each.body()))
                    .toList();
        };
        try (ScriptedDaemon daemon = new ScriptedDaemon(dir.resolve("socket"), reversed);
                StoreClient client = StoreClient.connect(dir.resolve("socket"));
                ExecutorService callers = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<String>> reads = new ArrayList<>();
            for (String path : List.of("/x", "/y", "/z")) {
                reads.add(callers.submit(() -> client.require(StorePath.of(path))));
            }
            assertThat(reads.get(0).get()).isEqualTo("about /x\0");
            assertThat(reads.get(1).get()).isEqualTo("about /y\0");
            assertThat(reads.get(2).get()).isEqualTo("about /z\0");
            assertThat(daemon).isNotNull();
        }
    }

    @Test
    void coalescesAStormOfEventsIntoAFew() throws Exception {
        try (Xenstored store = Xenstored.start(dir.resolve("run"));
                StoreClient client = StoreClient.connect(store.socket());
                RawStore guest = new RawStore(store.socket())) {
            CountDownLatch stormOver = new CountDownLatch(1);
            AtomicInteger calls = new AtomicInteger();
            AtomicInteger mostPaths = new AtomicInteger();
            client.watch(A, paths -> {
                calls.incrementAndGet();
                mostPaths.accumulateAndGet(paths.size(), Math::max);
                awaitLatch(stormOver);
            });
            Events.await("the first call", () -> calls.get() == 1);
            int most = 0;
            for (int round = 0; round < 10; round++) {
                guest.writeMany(10_000, i -> "/a" + (i % 2 == 0 ? "" : "/" + i % 1000) + "\0" + i);
                most = Math.max(most, client.pendingPaths());
            }
            Events fence = new Events();
            client.watch(StorePath.of("/fence"), fence); // its answer comes behind all events of the storm
            stormOver.countDown();
            fence.next();

            assertThat(most).isBetween(1, ClientWatch.MAX_CHANGED);
            assertThat(mostPaths.get()).isLessThanOrEqualTo(ClientWatch.MAX_CHANGED);
            assertThat(calls.get()).isLessThan(10);
        }
    }

    private static void awaitLatch(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Test
    void goesOnAfterAListenerThatThrows() throws Exception {
        try (Xenstored store = Xenstored.start(dir.resolve("run"));
                StoreClient client = StoreClient.connect(store.socket())) {
            client.watch(A, paths -> {
                throw new IllegalStateException("expected in this test");
            });
            Events events = new Events();
            client.watch(A, events);

            assertThat(events.next()).isEqualTo("/a");
            client.write(A, "");
            assertThat(events.next()).isEqualTo("/a");
        }
    }

    @Test
    void callsNoListenerOnceItsWatchIsClosed() throws Exception {
        try (Xenstored store = Xenstored.start(dir.resolve("run"));
                StoreClient client = StoreClient.connect(store.socket())) {
            CompletableFuture<StoreWatch> self = new CompletableFuture<>();
            AtomicInteger calls = new AtomicInteger();
            self.complete(client.watch(A, paths -> {
                if (calls.incrementAndGet() == 2) {
                    self.join().close(); // from within: must not wait for itself
                }
            }));
            Events.await("the first call", () -> calls.get() == 1);
            client.write(A, "1");
            Events.await("the second call", () -> calls.get() == 2);
            client.write(A, "2");
            Events fence = new Events();
            client.watch(A, fence);
            fence.next();

            assertThat(calls.get()).isEqualTo(2);
        }
    }

    /** Linux' /dev/xen/xenbus spoils a request that it has not forwarded when the next is written, and locks up on a watch. */
    @Test
    void sendsNothingMoreWhileAnAnswerIsDueThroughTheKernel() throws Exception {
        Map<MessageType, StoreMessage> seen = new ConcurrentHashMap<>();
        ScriptedDaemon.Script slow = request -> {
            seen.put(request.type(), request);
            return request.type() == MessageType.READ ? List.of() : ScriptedDaemon.answer(request, "OK\0");
        };
        StoreTransport.Opener device =
                () -> new DeviceLike(SocketTransport.open(dir.resolve("socket")), new ArrayList<>());
        try (ScriptedDaemon daemon = new ScriptedDaemon(dir.resolve("socket"), slow);
                StoreClient client = StoreClient.open(device)) {
            CompletableFuture<Optional<String>> value = later(() -> client.read(A));
            Events.await("the read", () -> seen.containsKey(MessageType.READ));
            CompletableFuture<Boolean> write = later(() -> {
                client.write(A, "soon");
                return true;
            });
            CompletableFuture<Boolean> removal = later(() -> {
                client.remove(A);
                return true;
            });
            Thread.sleep(200); // for one that does not wait

            assertThat(seen).containsOnlyKeys(MessageType.READ);

            daemon.say(ScriptedDaemon.bytes(
                    MessageType.READ, seen.get(MessageType.READ).requestId(), "late"));
            assertThat(value.get(20, TimeUnit.SECONDS)).contains("late");
            assertThat(write.get(20, TimeUnit.SECONDS)).isTrue();
            assertThat(removal.get(20, TimeUnit.SECONDS)).isTrue();
        }
    }

    private static <T> CompletableFuture<T> later(Callable<T> task) {
        CompletableFuture<T> result = new CompletableFuture<>();
        Thread.ofVirtual().start(() -> {
            try {
                result.complete(task.call());
            } catch (Exception e) {
                result.completeExceptionally(e);
            }
        });
        return result;
    }

    @Test
    void triesAConflictAgainAndGivesUpAtTheCap() throws Exception {
        AtomicInteger ends = new AtomicInteger();
        ScriptedDaemon.Script conflicts = request -> switch (request.type()) {
            case TRANSACTION_START -> ScriptedDaemon.answer(request, "17\0");
            case TRANSACTION_END -> {
                assertThat(request.body()).isEqualTo("T\0");
                assertThat(request.transactionId()).isEqualTo(17);
                ends.incrementAndGet();
                yield ScriptedDaemon.refuse(request, "EAGAIN");
            }
            default -> ScriptedDaemon.answer(request, "OK\0");
        };
        try (ScriptedDaemon daemon = new ScriptedDaemon(dir.resolve("socket"), conflicts);
                StoreClient client = StoreClient.connect(dir.resolve("socket"))) {
            AtomicInteger runs = new AtomicInteger();
            assertErrno(
                    Errno.EAGAIN,
                    () -> client.transaction(transaction -> {
                        transaction.write(A, "x");
                        return runs.incrementAndGet();
                    }));

            assertThat(runs.get()).isEqualTo(XenStore.TRANSACTION_ATTEMPTS);
            assertThat(ends.get()).isEqualTo(XenStore.TRANSACTION_ATTEMPTS);
            assertThat(daemon).isNotNull();
        }
    }

    @Test
    void endsATransactionWhoseWorkFails() throws Exception {
        List<String> ends = new ArrayList<>();
        ScriptedDaemon.Script script = request -> switch (request.type()) {
            case TRANSACTION_START -> ScriptedDaemon.answer(request, "17\0");
            case TRANSACTION_END -> {
                ends.add(request.body());
                yield ScriptedDaemon.answer(request, "OK\0");
            }
            default -> ScriptedDaemon.refuse(request, "EACCES");
        };
        try (ScriptedDaemon daemon = new ScriptedDaemon(dir.resolve("socket"), script);
                StoreClient client = StoreClient.connect(dir.resolve("socket"))) {
            assertErrno(Errno.EACCES, () -> client.transaction(transaction -> transaction.read(A)));
            List<StoreAccess> kept = new ArrayList<>();
            client.transaction(kept::add);

            assertThat(ends).containsExactly("F\0", "T\0");
            assertThatThrownBy(() -> kept.getFirst().read(A)).isInstanceOf(IllegalStateException.class);
            assertThat(daemon).isNotNull();
        }
    }

    @Test
    void toleratesErrorNamesOfTheFuture() throws Exception {
        try (ScriptedDaemon daemon = new ScriptedDaemon(
                        dir.resolve("socket"), request -> ScriptedDaemon.refuse(request, "ENEW\u001b[2J"));
                StoreClient client = StoreClient.connect(dir.resolve("socket"))) {
            assertThatThrownBy(() -> client.read(A))
                    .isInstanceOfSatisfying(
                            StoreException.class, e -> assertThat(e.errno()).isEqualTo(Errno.UNKNOWN))
                    .hasMessageContaining("ENEW?");
            assertThat(daemon).isNotNull();
        }
    }

    @Test
    void ignoresAnswersToNobodyAndEventsOfNoWatch() throws Exception {
        ScriptedDaemon.Script chatty = request -> List.of(
                ScriptedDaemon.bytes(MessageType.READ, 4711, "for nobody"),
                ScriptedDaemon.bytes(MessageType.WATCH_EVENT, 0, "/a\0no-such-token\0"),
                ScriptedDaemon.bytes(MessageType.WATCH_EVENT, 0, "torn"),
                ScriptedDaemon.bytes(request.type(), request.requestId(), "yes"));
        try (ScriptedDaemon daemon = new ScriptedDaemon(dir.resolve("socket"), chatty);
                StoreClient client = StoreClient.connect(dir.resolve("socket"))) {
            assertThat(client.read(A)).contains("yes");
            assertThat(client.isConnected()).isTrue();
            assertThat(daemon).isNotNull();
        }
    }

    @Test
    void takesAnAnswerToAnotherQuestionAsAFailure() throws Exception {
        ScriptedDaemon.Script confused =
                request -> List.of(ScriptedDaemon.bytes(MessageType.MKDIR, request.requestId(), "OK\0"));
        try (ScriptedDaemon daemon = new ScriptedDaemon(dir.resolve("socket"), confused);
                StoreClient client = StoreClient.connect(dir.resolve("socket"))) {
            assertErrno(Errno.EIO, () -> client.read(A));
            assertThat(daemon).isNotNull();
        }
    }

    @Test
    void losesADaemonThatSendsGarbageAndComesBackToASaneOne() throws Exception {
        AtomicInteger requests = new AtomicInteger();
        ScriptedDaemon.Script script = request -> {
            if (requests.getAndIncrement() > 0) {
                return ScriptedDaemon.answer(request, "sane");
            }
            ByteBuffer garbage = ByteBuffer.allocate(64).order(ByteOrder.nativeOrder());
            while (garbage.hasRemaining()) {
                garbage.put((byte) 0x7F);
            }
            return List.of(garbage.flip());
        };
        try (ScriptedDaemon daemon = new ScriptedDaemon(dir.resolve("socket"), script);
                StoreClient client = StoreClient.connect(dir.resolve("socket"))) {
            assertErrno(Errno.EIO, () -> client.read(A));
            Events.await("the client is back", client::isConnected);

            assertThat(client.read(A)).contains("sane");
            assertThat(daemon).isNotNull();
        }
    }

    @Test
    void stopsAtDirectoriesThatNeverEndOrNeverRest() throws Exception {
        AtomicInteger generation = new AtomicInteger();
        ScriptedDaemon.Script script = request -> {
            if (request.type() == MessageType.DIRECTORY) {
                return ScriptedDaemon.refuse(request, "E2BIG");
            }
            boolean endless = request.body().startsWith("/endless");
            String children = ("c".repeat(1000) + "\0").repeat(4);
            return ScriptedDaemon.answer(request, (endless ? 1 : generation.incrementAndGet()) + "\0" + children);
        };
        try (ScriptedDaemon daemon = new ScriptedDaemon(dir.resolve("socket"), script);
                StoreClient client = StoreClient.connect(dir.resolve("socket"))) {
            assertErrno(Errno.E2BIG, () -> client.directory(StorePath.of("/endless")));
            assertErrno(Errno.EAGAIN, () -> client.directory(StorePath.of("/restless")));
            assertThat(daemon).isNotNull();
        }
    }

    @Test
    void refusesWhatTheTransportCannotCarry() throws Exception {
        try (Xenstored store = Xenstored.start(dir.resolve("run"));
                StoreClient client = StoreClient.connect(store.socket())) {
            client.write(A, "v".repeat(4096 - 3));
            assertErrno(Errno.E2BIG, () -> client.write(A, "v".repeat(4096 - 2)));
            assertThat(client.require(A)).hasSize(4093);
        }
    }

    @Test
    void failsWhatIsUnderWayWhenTheDaemonGoes() throws Exception {
        CountDownLatch asked = new CountDownLatch(3);
        ScriptedDaemon.Script silent = request -> {
            asked.countDown();
            return List.of();
        };
        try (ScriptedDaemon daemon = new ScriptedDaemon(dir.resolve("socket"), silent);
                StoreClient client = StoreClient.connect(dir.resolve("socket"));
                ExecutorService callers = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<?>> calls = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                calls.add(callers.submit(() -> {
                    assertErrno(Errno.EIO, () -> client.read(A));
                }));
            }
            assertThat(asked.await(20, TimeUnit.SECONDS)).isTrue();
            daemon.hangUp();
            for (Future<?> call : calls) {
                call.get();
            }
        }
    }

    @Test
    void firesEveryWatchAgainWhenTheDaemonIsBack() throws Exception {
        Path run = dir.resolve("run");
        Xenstored first = Xenstored.start(run);
        Events watched = new Events();
        Events special = new Events();
        try (StoreClient client = StoreClient.connect(first.socket())) {
            client.watch(A, watched);
            client.watchSpecial("@releaseDomain", special);
            StoreWatch closed = client.watch(A, paths -> {});
            watched.next();
            special.next();
            CompletableFuture<Boolean> inTransaction = new CompletableFuture<>();
            assertErrno(
                    Errno.EIO,
                    () -> client.transaction(transaction -> {
                        transaction.write(A, "half");
                        first.close();
                        inTransaction.complete(true);
                        return transaction.read(A);
                    }));
            assertThat(inTransaction).isCompleted();
            Events.await("the loss is seen", () -> !client.isConnected());
            assertErrno(Errno.EIO, () -> client.read(A));
            closed.close();

            try (Xenstored second = Xenstored.start(run)) {
                assertThat(watched.next()).isEqualTo("/a");
                assertThat(special.next()).isEqualTo("@releaseDomain");
                Events.await("the client is back", client::isConnected);
                client.write(A, "again");
                assertThat(watched.next()).isEqualTo("/a");
                second.introduce(1);
                second.release(1);
                assertThat(special.next()).isEqualTo("@releaseDomain");
            }
        }
    }

    @Test
    void isNotHarmedByAnInterruptedCaller() throws Exception {
        try (Xenstored store = Xenstored.start(dir.resolve("run"));
                StoreClient client = StoreClient.connect(store.socket())) {
            Thread.currentThread().interrupt();
            client.write(A, "v");

            assertThat(Thread.interrupted()).as("the flag is kept").isTrue();
            assertThat(client.read(A)).contains("v");
            assertThat(client.isConnected()).isTrue();
        }
    }

    @Test
    void endsItsThreadsAndCallsWhenClosed() throws Exception {
        CountDownLatch asked = new CountDownLatch(1);
        ScriptedDaemon.Script silent = request -> {
            asked.countDown();
            return List.of();
        };
        try (ScriptedDaemon daemon = new ScriptedDaemon(dir.resolve("socket"), silent);
                ExecutorService callers = Executors.newVirtualThreadPerTaskExecutor()) {
            StoreClient client = StoreClient.connect(dir.resolve("socket"));
            Future<?> call = callers.submit(() -> {
                assertErrno(Errno.EIO, () -> client.read(A));
            });
            asked.await();
            client.close();
            client.close();
            call.get();

            assertErrno(Errno.EIO, () -> client.read(A));
            assertThat(client.isConnected()).isFalse();
            assertThat(daemon).isNotNull();
        }
    }

    @Test
    void sendsEachMessageInOneWriteAndObeysTheTransportsLimit() throws Exception {
        try (Xenstored store = Xenstored.start(dir.resolve("run"))) {
            List<Integer> writes = new ArrayList<>();
            StoreTransport.Opener device = () -> new DeviceLike(SocketTransport.open(store.socket()), writes);
            try (StoreClient client = StoreClient.open(device)) {
                client.write(A, "v".repeat(4080 - 3));
                assertErrno(Errno.E2BIG, () -> client.write(A, "v".repeat(4080 - 2)));
                assertErrno(Errno.ENOSPC, () -> client.watch(A, paths -> {}));
                assertThat(client.require(A)).hasSize(4077);
            }
            assertThat(writes).containsExactly(16 + 4080, 16 + 3);
        }
    }

    /** What is peculiar about /dev/xen/xenbus: 4080 bytes, one at a time, and a watch that is refused by the write itself. */
    private record DeviceLike(StoreTransport socket, List<Integer> writes) implements StoreTransport {
        @Override
        public int maxBodyBytes() {
            return 4080;
        }

        @Override
        public int maxInFlight() {
            return 1;
        }

        @Override
        public void send(ByteBuffer message) throws IOException {
            if (MessageType.of(message.getInt(message.position())) == MessageType.WATCH) {
                throw new StoreException(Errno.ENOSPC, "watch");
            }
            if (MessageType.of(message.getInt(message.position())) != MessageType.UNWATCH) {
                writes.add(message.remaining());
            }
            socket.send(message);
        }

        @Override
        public int receive(ByteBuffer into) throws IOException {
            return socket.receive(into);
        }

        @Override
        public void close() {
            socket.close();
        }
    }
}
