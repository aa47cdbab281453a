package xenback.xen.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.io.EventLoop.Engine;

/** Both engines keep the same promises, so every test runs on both. io_uring is required here, not optional. */
class EventLoopTest {
    /** A tmpfs, on every Linux with a C library that has shm_open. */
    private static final Path MEMORY = Path.of("/dev/shm");

    @TempDir
    Path dir;

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void readsBackWhatItWroteThroughScatterLists(Engine engine) throws Exception {
        try (EventLoop loop = EventLoop.start("test", engine);
                Arena arena = Arena.ofShared();
                NativeFile file =
                        NativeFile.open(dir.resolve("f"), NativeFile.Mode.WRITE, NativeFile.Mode.CREATE_NEW)) {
            MemorySegment memory = arena.allocate(64 * 1024, 4096);
            for (int i = 0; i < 8192; i++) {
                memory.set(ValueLayout.JAVA_BYTE, i, (byte) (i * 31));
            }
            ScatterList out = new ScatterList(4, arena);
            out.add(memory, 4096, 4096);
            out.add(memory, 0, 4096);
            ScatterList in = new ScatterList(4, arena);
            in.add(memory, 16384, 8192);

            assertThat(result(loop, done -> loop.writev(file, out, 512, done, 1)))
                    .isEqualTo(8192);
            assertThat(result(loop, done -> loop.fdatasync(file, done, 1))).isZero();
            assertThat(result(loop, done -> loop.readv(file, in, 512, done, 1))).isEqualTo(8192);

            assertThat(memory.asSlice(16384, 4096).mismatch(memory.asSlice(4096, 4096)))
                    .isEqualTo(-1);
            assertThat(memory.asSlice(20480, 4096).mismatch(memory.asSlice(0, 4096)))
                    .isEqualTo(-1);
            assertThat(file.sizeBytes()).isEqualTo(512 + 8192);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void reportsErrnoAndShortReads(Engine engine) throws Exception {
        Path path = Files.write(dir.resolve("short"), new byte[100]);
        try (EventLoop loop = EventLoop.start("test", engine);
                Arena arena = Arena.ofShared();
                NativeFile file = NativeFile.open(path)) {
            ScatterList list = new ScatterList(1, arena);
            list.add(arena.allocate(4096, 4096), 0, 4096);

            assertThat(result(loop, done -> loop.readv(file, list, 60, done, 1)))
                    .isEqualTo(40);
            assertThat(result(loop, done -> loop.readv(file, list, 4096, done, 1)))
                    .isZero();
            assertThat(result(loop, done -> loop.writev(file, list, 0, done, 1)))
                    .isEqualTo(-Errno.EBADF.number());
        }
    }

    @Test
    void knowsWhichFilesLieInMemory() throws Exception {
        Path inMemory = Files.createTempFile(MEMORY, "xenback", "");
        try (NativeFile memory = NativeFile.open(inMemory);
                NativeFile disk = NativeFile.open(Path.of(System.getProperty("java.home"), "release"))) {
            assertThat(memory.inMemory()).isTrue();
            assertThat(disk.inMemory()).isFalse();
        } finally {
            Files.delete(inMemory);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void readsAFileInMemoryAsAnyOther(Engine engine) throws Exception {
        Path path = Files.write(Files.createTempFile(MEMORY, "xenback", ""), new byte[] {1, 2, 3, 4, 5});
        try (EventLoop loop = EventLoop.start("test", engine);
                Arena arena = Arena.ofShared();
                NativeFile file = NativeFile.open(path)) {
            MemorySegment memory = arena.allocate(16);
            ScatterList list = new ScatterList(2, arena);
            list.add(memory, 0, 1);
            list.add(memory, 8, 3);
            assertThat(result(loop, done -> loop.readv(file, list, 1, done, 1))).isEqualTo(4);
            assertThat(memory.get(ValueLayout.JAVA_BYTE, 0)).isEqualTo((byte) 2);
            assertThat(memory.asSlice(8, 3).toArray(ValueLayout.JAVA_BYTE)).containsExactly(3, 4, 5);
            assertThat(result(loop, done -> loop.readv(file, list, 3, done, 1)))
                    .as("short")
                    .isEqualTo(2);
            assertThat(result(loop, done -> loop.readv(file, list, 5, done, 1)))
                    .as("at the end")
                    .isZero();
            assertThat(result(loop, done -> loop.readv(file, list, -1, done, 1)))
                    .as("nowhere")
                    .isEqualTo(-Errno.EINVAL.number());
            CompletableFuture<Boolean> inside = new CompletableFuture<>();
            loop.execute(() -> {
                boolean[] starting = {true};
                loop.readv(file, list, 0, (tag, result) -> inside.complete(starting[0]), 0);
                starting[0] = false;
            });
            assertThat(inside.get(10, TimeUnit.SECONDS)).as("told inside").isFalse();
        } finally {
            Files.delete(path);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void neverCompletesInsideTheStartingCall(Engine engine) throws Exception {
        try (EventLoop loop = EventLoop.start("test", engine);
                Arena arena = Arena.ofShared();
                NativeFile file =
                        NativeFile.open(dir.resolve("f"), NativeFile.Mode.WRITE, NativeFile.Mode.CREATE_NEW)) {
            ScatterList list = new ScatterList(1, arena);
            list.add(arena.allocate(512), 0, 512);
            CompletableFuture<Boolean> inside = new CompletableFuture<>();
            loop.execute(() -> {
                boolean[] starting = {true};
                loop.writev(file, list, 0, (tag, result) -> inside.complete(starting[0]), 0);
                starting[0] = false;
            });
            assertThat(inside.get(10, TimeUnit.SECONDS)).isFalse();
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void keepsThousandsOfOperationsApart(Engine engine) throws Exception {
        int operations = 5000; // more than the submission ring, the completion ring and the first slot table hold
        Path path = dir.resolve("many");
        byte[] content = new byte[operations * 4];
        for (int i = 0; i < operations; i++) {
            ByteBuffer.wrap(content).putInt(i * 4, i);
        }
        Files.write(path, content);
        try (EventLoop loop = EventLoop.start("test", engine);
                Arena arena = Arena.ofShared();
                NativeFile file = NativeFile.open(path)) {
            MemorySegment memory = arena.allocate(operations * 4L, 8);
            CountDownLatch left = new CountDownLatch(operations);
            AtomicLong tags = new AtomicLong();
            loop.execute(() -> {
                for (int i = 0; i < operations; i++) {
                    ScatterList list = new ScatterList(1, arena);
                    list.add(memory, i * 4L, 4);
                    loop.readv(
                            file,
                            list,
                            i * 4L,
                            (tag, result) -> {
                                tags.addAndGet(result == 4 ? tag : Integer.MIN_VALUE);
                                left.countDown();
                            },
                            i);
                }
            });
            assertThat(left.await(30, TimeUnit.SECONDS)).isTrue();
            assertThat(tags).hasValue((long) operations * (operations - 1) / 2);
            assertThat(memory.toArray(ValueLayout.JAVA_BYTE)).isEqualTo(content);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void servesSockets(Engine engine) throws Exception {
        Path path = dir.resolve("s");
        int listener = Sockets.listenUnix(path, 4);
        try (EventLoop loop = EventLoop.start("test", engine);
                Arena arena = Arena.ofShared();
                SocketChannel client = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            CompletableFuture<Integer> accepted = new CompletableFuture<>();
            loop.execute(() -> loop.accept(listener, (tag, fd) -> accepted.complete(fd), 0));
            client.connect(UnixDomainSocketAddress.of(path));
            int fd = accepted.get(10, TimeUnit.SECONDS);
            assertThat(fd).isPositive();

            MemorySegment buffer = arena.allocate(100);
            CompletableFuture<Integer> received = new CompletableFuture<>();
            loop.execute(() -> loop.recv(fd, buffer, 10, 50, (tag, count) -> received.complete(count), 0));
            client.write(ByteBuffer.wrap(new byte[] {1, 2, 3}));
            assertThat(received.get(10, TimeUnit.SECONDS)).isEqualTo(3);
            assertThat(buffer.asSlice(10, 3).toArray(ValueLayout.JAVA_BYTE)).containsExactly(1, 2, 3);

            ScatterList reply = new ScatterList(2, arena);
            reply.add(buffer, 12, 1);
            reply.add(buffer, 10, 1);
            assertThat(result(loop, done -> loop.sendv(fd, reply, done, 0))).isEqualTo(2);
            ByteBuffer answer = ByteBuffer.allocate(2);
            while (answer.hasRemaining()) {
                client.read(answer);
            }
            assertThat(answer.array()).containsExactly(3, 1);

            CompletableFuture<Integer> ended = new CompletableFuture<>();
            loop.execute(() -> loop.recv(fd, buffer, 0, 50, (tag, count) -> ended.complete(count), 0));
            Sockets.shutdown(fd);
            assertThat(ended.get(10, TimeUnit.SECONDS)).isZero();
            assertThat(result(loop, done -> loop.sendv(fd, reply, done, 0))).isEqualTo(-Errno.EPIPE.number());
            Sockets.close(fd);
        } finally {
            Sockets.close(listener);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void wakesForAnEventOnADescriptor(Engine engine) throws Exception {
        EventFd event = EventFd.create();
        try (EventLoop loop = EventLoop.start("test", engine)) {
            CompletableFuture<Integer> woken = new CompletableFuture<>();
            loop.execute(() -> loop.poll(event.fd(), EventLoop.POLLIN, (tag, events) -> woken.complete(events), 0));
            event.signal();
            assertThat(woken.get(10, TimeUnit.SECONDS) & EventLoop.POLLIN).isEqualTo(EventLoop.POLLIN);
        } finally {
            event.close();
        }
    }

    /** A fifo open at both ends, as a device that has nothing to read until something is written to it. */
    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void readsADeviceOnceItHasSomething(Engine engine) throws Exception {
        Path fifo = dir.resolve("fifo-" + engine);
        assertThat(new ProcessBuilder("mkfifo", fifo.toString()).start().waitFor())
                .isZero();
        try (EventLoop loop = EventLoop.start("test", engine);
                Arena arena = Arena.ofShared();
                DeviceFile device = DeviceFile.open(fifo)) {
            MemorySegment from = arena.allocate(8);
            MemorySegment into = arena.allocate(64);
            for (int round = 1; round < 600; round++) { // more than the submission queue has entries
                int value = round;
                CompletableFuture<Integer> read = new CompletableFuture<>();
                loop.execute(() -> loop.readDevice(device, into, 64, (tag, count) -> read.complete(count), 7));
                loop.call(() -> 0);
                assertThat(read).as("nothing is there yet").isNotDone();
                loop.execute(() -> {
                    from.set(ValueLayout.JAVA_INT, 0, value);
                    loop.writeDevice(device, from, 4);
                });
                assertThat(read.get(10, TimeUnit.SECONDS)).isEqualTo(4);
                assertThat(into.get(ValueLayout.JAVA_INT, 0)).isEqualTo(value);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void runsTasksInOrderAndTurnEndsOnce(Engine engine) throws Exception {
        try (EventLoop loop = EventLoop.start("test", engine)) {
            AtomicInteger ends = new AtomicInteger();
            EventLoop.TurnEnd end = new EventLoop.TurnEnd() {
                @Override
                protected void endTurn() {
                    ends.incrementAndGet();
                }
            };
            StringBuilder order = new StringBuilder();
            CompletableFuture<String> seen = new CompletableFuture<>();
            loop.execute(() -> order.append('a'));
            loop.execute(() -> {
                order.append('b');
                loop.atTurnEnd(end);
                loop.atTurnEnd(end);
                loop.execute(() -> seen.complete(order.toString() + ends.get()));
            });
            assertThat(seen.get(10, TimeUnit.SECONDS)).isEqualTo("ab1");
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void saysThatNothingIsLeftToDoBesidesTheWorkThatAsks(Engine engine) throws Exception {
        try (EventLoop loop = EventLoop.start("test", engine)) {
            CompletableFuture<Boolean> seen = new CompletableFuture<>();
            EventLoop.TurnEnd asking = turnEnd(() -> seen.complete(loop.hasWork()));
            loop.execute(() -> loop.atTurnEnd(asking));
            assertThat(seen.get(10, TimeUnit.SECONDS)).isFalse();
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void saysWhatWorkItHasBeforeItWaits(Engine engine) throws Exception {
        try (EventLoop loop = EventLoop.start("test", engine)) {
            EventLoop.TurnEnd work = turnEnd(() -> {});
            assertThat(workAfter(loop, () -> {})).as("nothing").isFalse();
            assertThat(workAfter(loop, () -> loop.execute(() -> {})))
                    .as("a task")
                    .isTrue();
            assertThat(workAfter(loop, () -> loop.signal(work))).as("a signal").isTrue();
            assertThat(workAfter(loop, () -> loop.atTurnEnd(work)))
                    .as("work for this turn")
                    .isTrue();
            assertThat(workAfter(loop, () -> loop.atNextTurn(work)))
                    .as("work for the next turn")
                    .isTrue();
        }
    }

    @Test
    void countsAResultThatIsAtHandAsWork() throws Exception {
        try (EventLoop loop = EventLoop.start("test", Engine.URING);
                Arena arena = Arena.ofShared();
                NativeFile file =
                        NativeFile.open(dir.resolve("f"), NativeFile.Mode.WRITE, NativeFile.Mode.CREATE_NEW)) {
            ScatterList list = new ScatterList(1, arena);
            list.add(arena.allocate(512), 0, 512);
            CompletableFuture<Boolean> whenTold = new CompletableFuture<>();
            Completion told = (tag, result) -> whenTold.complete(loop.hasWork());
            assertThat(workAfter(loop, () -> loop.writev(file, list, 0, told, 0)))
                    .as("before it is told")
                    .isTrue();
            assertThat(whenTold.get(10, TimeUnit.SECONDS))
                    .as("while it is told")
                    .isFalse();
        }
    }

    /** Inline results beget inline operations for ever; an event that only the kernel knows of must still get its turn. */
    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void hearsOfEventsWhileWritesKeepItBusy(Engine engine) throws Exception {
        EventFd event = EventFd.create();
        try (EventLoop loop = EventLoop.start("test", engine);
                Arena arena = Arena.ofShared();
                NativeFile file =
                        NativeFile.open(dir.resolve("f"), NativeFile.Mode.WRITE, NativeFile.Mode.CREATE_NEW)) {
            ScatterList list = new ScatterList(1, arena);
            list.add(arena.allocate(512), 0, 512);
            CompletableFuture<Integer> woken = new CompletableFuture<>();
            CompletableFuture<Boolean> ended = new CompletableFuture<>();
            Completion again = new Completion() {
                @Override
                public void onCompletion(int count, int result) {
                    if (woken.isDone()) {
                        ended.complete(true);
                        return;
                    }
                    if (count == 100) {
                        event.signal(); // long after the wait for it has reached the kernel
                    }
                    loop.writev(file, list, 0, this, count + 1);
                }
            };
            loop.execute(() -> {
                loop.poll(event.fd(), EventLoop.POLLIN, (tag, events) -> woken.complete(events), 0);
                loop.writev(file, list, 0, again, 0);
            });
            assertThat(woken.get(10, TimeUnit.SECONDS)).isPositive();
            assertThat(ended.get(10, TimeUnit.SECONDS)).isTrue();
        } finally {
            event.close();
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void survivesAFaultInACompletion(Engine engine) throws Exception {
        try (EventLoop loop = EventLoop.start("test", engine)) {
            loop.execute(() -> {
                throw new IllegalStateException("expected by this test");
            });
            assertThat(loop.call(() -> 7)).isEqualTo(7);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void givesSpaceBackAndZeroesRanges(Engine engine) throws Exception {
        int mib = 1 << 20;
        byte[] ones = new byte[mib];
        Arrays.fill(ones, (byte) 1);
        Path path = Files.write(dir.resolve("f"), ones);
        try (EventLoop loop = EventLoop.start("test", engine);
                NativeFile file = NativeFile.open(path, NativeFile.Mode.WRITE)) {
            assertThat(result(loop, done -> loop.changeSpace(file, SpaceChange.PUNCH_HOLE, 65536, 131072, done, 1)))
                    .isZero();
            assertThat(result(loop, done -> loop.changeSpace(file, SpaceChange.ZERO_RANGE, mib - 100, 200, done, 1)))
                    .isZero();

            assertThat(file.extentAt(65536, mib)).isEqualTo(-131072);
            Arrays.fill(ones, 65536, 65536 + 131072, (byte) 0);
            Arrays.fill(ones, mib - 100, mib, (byte) 0);
            assertThat(Files.readAllBytes(path)).as("no longer than before").isEqualTo(ones);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void saysWhichChangesOfSpaceAreNotSupported(Engine engine) throws Exception {
        Path path = Files.write(Files.createTempFile(MEMORY, "xenback", ""), new byte[8192]);
        try (EventLoop loop = EventLoop.start("test", engine);
                NativeFile file = NativeFile.open(path, NativeFile.Mode.WRITE);
                NativeFile reader = NativeFile.open(path)) {
            assertThat(result(loop, done -> loop.changeSpace(file, SpaceChange.ZERO_RANGE, 0, 4096, done, 1)))
                    .as("tmpfs has no such thing")
                    .isEqualTo(-Errno.EOPNOTSUPP.number());
            assertThat(result(loop, done -> loop.changeSpace(file, SpaceChange.DISCARD, 0, 4096, done, 1)))
                    .as("is for block devices")
                    .isEqualTo(-Errno.ENOTTY.number());
            assertThat(result(loop, done -> loop.changeSpace(reader, SpaceChange.PUNCH_HOLE, 0, 4096, done, 1)))
                    .isEqualTo(-Errno.EBADF.number());
        } finally {
            Files.delete(path);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"URING", "THREADS"})
    void answersForACallerInALaterStep(Engine engine) throws Exception {
        try (EventLoop loop = EventLoop.start("test", engine)) {
            CompletableFuture<String> told = new CompletableFuture<>();
            loop.execute(() -> {
                boolean[] starting = {true};
                loop.completeSoon((tag, result) -> told.complete(tag + " " + result + " " + starting[0]), 3, -5);
                starting[0] = false;
            });
            assertThat(told.get(10, TimeUnit.SECONDS)).isEqualTo("3 -5 false");
        }
    }

    @Test
    void refusesASecondWriterOfALockedFile() throws Exception {
        Path path = Files.write(dir.resolve("locked"), new byte[512]);
        try (NativeFile first = NativeFile.open(path, NativeFile.Mode.WRITE);
                NativeFile second = NativeFile.open(path, NativeFile.Mode.WRITE)) {
            first.lock(true);
            assertThatThrownBy(() -> second.lock(true))
                    .isInstanceOfSatisfying(
                            XenException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EBUSY))
                    .hasMessage(path + ": in use by another process; end it first (fuser -v " + path + " names it)");
        }
    }

    @Test
    void tellsHolesFromData() throws Exception {
        try (NativeFile file =
                NativeFile.open(dir.resolve("sparse"), NativeFile.Mode.WRITE, NativeFile.Mode.CREATE_NEW)) {
            file.resize(1 << 20);
            try (EventLoop loop = EventLoop.start("test");
                    Arena arena = Arena.ofShared()) {
                ScatterList list = new ScatterList(1, arena);
                list.add(arena.allocate(65536), 0, 65536);
                assertThat(result(loop, done -> loop.writev(file, list, 131072, done, 0)))
                        .isEqualTo(65536);
            }
            assertThat(file.extentAt(0, 1 << 20)).isEqualTo(-131072);
            assertThat(file.extentAt(131072, 1 << 20)).isEqualTo(65536);
            assertThat(file.extentAt(196608, 1000)).isEqualTo(-1000);
        }
    }

    private static EventLoop.TurnEnd turnEnd(Runnable work) {
        return new EventLoop.TurnEnd() {
            @Override
            protected void endTurn() {
                work.run();
            }
        };
    }

    /** What the loop says right after {@code cause}, in one task. */
    private static boolean workAfter(EventLoop loop, Runnable cause) throws Exception {
        return loop.call(() -> {
            cause.run();
            return loop.hasWork();
        });
    }

    private interface Starter {
        void start(Completion done);
    }

    private static int result(EventLoop loop, Starter starter) throws Exception {
        CompletableFuture<Integer> result = new CompletableFuture<>();
        loop.execute(() -> starter.start((tag, value) -> result.complete(value)));
        return result.get(10, TimeUnit.SECONDS);
    }
}
