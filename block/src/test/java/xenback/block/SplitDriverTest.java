package xenback.block;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import xenback.block.backend.BlockBackend;
import xenback.block.backend.BlockEvent;
import xenback.block.frontend.Xbd;
import xenback.block.protocol.Abi;
import xenback.xen.Errno;
import xenback.xen.XenException;
import xenback.xen.bus.XenbusState;
import xenback.xen.embedded.Domain;
import xenback.xen.embedded.Toolstack;
import xenback.xen.io.EventLoop.Engine;
import xenback.xen.io.NativeFile;
import xenback.xen.store.StorePath;

/** The whole way of a guest's bytes, from xbd through the ring and xbdback to the image file, and back. */
class SplitDriverTest {
    private static final int XVDA = 51712;
    private static final long MIB = 1 << 20;

    @TempDir
    Path dir;

    static Stream<Arguments> abisAndEngines() {
        return Stream.of(Abi.values())
                .flatMap(abi -> Stream.of(Engine.URING, Engine.THREADS).map(engine -> Arguments.of(abi, engine)));
    }

    @ParameterizedTest
    @MethodSource("abisAndEngines")
    void guestReadsWhatItWroteAndTheImageHoldsIt(Abi abi, Engine engine) throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), 16 * MIB);
        try (Machine machine = new Machine(dir, engine)) {
            Xbd xbd = machine.attach(machine.guest(1), XVDA, image, "w", abi);
            assertThat(xbd.sizeBytes()).isEqualTo(16 * MIB);
            byte[] pattern = new byte[300 * 1024]; // seven requests, the last of them odd
            new Random(42).nextBytes(pattern);
            try (GuestIo io = new GuestIo(xbd, xbd.loop())) {
                assertThat(io.write(1536, pattern)).isZero();
                assertThat(io.flush()).isZero();
                assertThat(io.read(1536, pattern.length)).isEqualTo(pattern);
                assertThat(io.read(0, 512)).isEqualTo(new byte[512]);
            }
            byte[] content = Files.readAllBytes(image);
            assertThat(Arrays.copyOfRange(content, 1536, 1536 + pattern.length)).isEqualTo(pattern);
        }
    }

    @Test
    void saysTheWordsOfTheManual() throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), MIB);
        try (Machine machine = new Machine(dir, Engine.URING)) {
            Xbd xbd = machine.attach(machine.guest(1), 769, image, "w", Abi.X86_64);
            String port = machine.events.stream()
                    .filter(BlockEvent.Connected.class::isInstance)
                    .map(event -> Integer.toString(((BlockEvent.Connected) event).port()))
                    .findFirst()
                    .orElseThrow();
            assertThat(machine.events)
                    .extracting(BlockEvent::text)
                    .containsExactly(
                            "xbd backend: attach device " + image + " (size 1048576) for domain 1",
                            "xbd backend 0x301 for domain 1 using event channel " + port + ", protocol x86_64-abi");
            assertThat(machine.backend().devices())
                    .extracting(BlockBackend.Row::name)
                    .containsExactly("xbdback1i769");
            assertThat(xbd.readOnly()).isFalse();
        }
    }

    @Test
    void refusesAnImageThatIsInUse() throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), MIB);
        try (Machine machine = new Machine(dir, Engine.URING);
                NativeFile other = NativeFile.open(image, NativeFile.Mode.WRITE)) {
            other.lock(true);
            machine.guest(1);
            assertThatThrownBy(() -> machine.toolstack.attach(Machine.vbd(1, XVDA, image, "w")))
                    .isInstanceOf(XenException.class)
                    .hasMessage(image + ": in use by another process; end it first (fuser -v " + image + " names it)");
            long device = NativeFile.deviceOf(image);
            assertThat(machine.events)
                    .extracting(BlockEvent::text)
                    .containsExactly("xbdback backend/vbd/1/51712: can't VOP_OPEN device 0x" + Long.toHexString(device)
                            + ": 16");
            StorePath error = StorePath.of("/local/domain/0/error/backend");
            Await.until(
                    () -> !machine.xen.domain0().store().exists(error), () -> "the error node to go with its device");
        }
    }

    @Test
    void servesSeveralGuestsWithSeveralDisksAtOnce() throws Exception {
        try (Machine machine = new Machine(dir, Engine.URING)) {
            for (int domid = 1; domid <= 2; domid++) {
                Domain guest = machine.guest(domid);
                for (int disk = 0; disk < 2; disk++) {
                    Path image = Machine.image(dir.resolve("disk" + domid + disk), MIB);
                    Xbd xbd = machine.attach(guest, XVDA + 16 * disk, image, "w", Abi.X86_64);
                    byte[] mark = new byte[4096];
                    Arrays.fill(mark, (byte) (domid * 16 + disk));
                    try (GuestIo io = new GuestIo(xbd, xbd.loop())) {
                        assertThat(io.write(8192, mark)).isZero();
                    }
                }
            }
            assertThat(machine.backend().devices()).hasSize(4);
            for (int domid = 1; domid <= 2; domid++) {
                for (int disk = 0; disk < 2; disk++) {
                    byte[] content = Files.readAllBytes(dir.resolve("disk" + domid + disk));
                    assertThat(content[8192]).isEqualTo((byte) (domid * 16 + disk));
                    assertThat(content[12287]).isEqualTo((byte) (domid * 16 + disk));
                    assertThat(content[12288]).isZero();
                }
            }
        }
    }

    @Test
    void refusesWritesToAReadOnlyDisk() throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), MIB);
        try (Machine machine = new Machine(dir, Engine.URING)) {
            Xbd xbd = machine.attach(machine.guest(1), XVDA, image, "r", Abi.X86_64);
            assertThat(xbd.readOnly()).isTrue();
            assertThat(xbd.canFlush()).isFalse();
            try (GuestIo io = new GuestIo(xbd, xbd.loop())) {
                assertThat(io.write(0, new byte[512])).isEqualTo(-Errno.EIO.number());
                assertThat(io.read(0, 512)).isNotNull();
            }
        }
    }

    @Test
    void detachGivesEverythingBack() throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), MIB);
        try (Machine machine = new Machine(dir, Engine.URING)) {
            Domain guest = machine.guest(1);
            int portsBefore = machine.xen.domain0().openPorts();
            Xbd xbd = machine.attach(guest, XVDA, image, "w", Abi.X86_64);
            assertThat(machine.xen.domain0().mappedGrants()).isEqualTo(1);

            machine.toolstack.detach(Machine.vbd(1, XVDA, image, "w"), false);

            assertThat(xbd.awaitEnd(java.time.Duration.ofSeconds(10))).isTrue();
            assertThat(machine.xen.domain0().mappedGrants()).isZero();
            assertThat(machine.xen.domain0().openPorts()).isEqualTo(portsBefore);
            assertThat(guest.pinnedGrants()).isZero();
            assertThat(guest.openPorts()).isZero();
            assertThat(guest.allocatedPages()).isZero();
            assertThat(machine.backend().devices()).isEmpty();
            try (NativeFile free = NativeFile.open(image, NativeFile.Mode.WRITE)) {
                free.lock(true); // nobody holds it any more
            }
            // And the same device can come again.
            Xbd again = machine.attach(guest, XVDA, image, "w", Abi.X86_32);
            try (GuestIo io = new GuestIo(again, again.loop())) {
                assertThat(io.read(0, 4096)).isNotNull();
            }
        }
    }

    @Test
    void frontendThatComesBackFindsTheDeviceOfferedAnew() throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), MIB);
        try (Machine machine = new Machine(dir, Engine.URING)) {
            Domain guest = machine.guest(1);
            Xbd first = machine.attach(guest, XVDA, image, "w", Abi.X86_64);
            first.close(); // the boot loader ends without a word, then the kernel resets the device
            StorePath frontend = StorePath.of("/local/domain/1/device/vbd/" + XVDA);
            guest.store().write(frontend.child("state"), XenbusState.CLOSED.text());
            guest.store().write(frontend.child("state"), XenbusState.INITIALISING.text());
            Xbd second = machine.startXbd(guest, frontend, Abi.X86_64);
            try (GuestIo io = new GuestIo(second, second.loop())) {
                assertThat(io.write(0, new byte[4096])).isZero();
            }
        }
    }

    @Test
    void truncatedImageFailsReadsBeyondItsEndAndServesTheRest() throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), MIB);
        try (Machine machine = new Machine(dir, Engine.URING)) {
            Xbd xbd = machine.attach(machine.guest(1), XVDA, image, "w", Abi.X86_64);
            try (NativeFile file = NativeFile.open(image, NativeFile.Mode.WRITE)) {
                file.resize(MIB / 2);
            }
            try (GuestIo io = new GuestIo(xbd, xbd.loop())) {
                assertThat(io.readResult(MIB - 4096, 4096)).isEqualTo(-Errno.EIO.number());
                assertThat(io.read(0, 4096)).isNotNull();
            }
        }
    }

    @Test
    void showsBothEndsInTheStore() throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), MIB);
        try (Machine machine = new Machine(dir, Engine.URING)) {
            machine.attach(machine.guest(1), XVDA, image, "w", Abi.X86_64);
            var store = machine.xen.domain0().store();
            StorePath backend = StorePath.of("/local/domain/0/backend/vbd/1/51712");
            assertThat(store.read(backend.child("state"))).hasValue("4");
            assertThat(store.read(backend.child("sectors"))).hasValue("2048");
            assertThat(store.read(backend.child("sector-size"))).hasValue("512");
            assertThat(store.read(backend.child("info"))).hasValue("0");
            assertThat(store.read(backend.child("feature-flush-cache"))).hasValue("1");
            assertThat(store.read(backend.child("hotplug-status"))).hasValue("connected");
            StorePath frontend = StorePath.of("/local/domain/1/device/vbd/51712");
            assertThat(store.read(frontend.child("state"))).hasValue("4");
            assertThat(store.directory(frontend))
                    .containsAll(List.of("ring-ref", "event-channel", "protocol", "backend", "virtual-device"));
        }
    }

    @Test
    void directAccessGivesTheSameBytes() throws Exception {
        Path image = Machine.image(dir.resolve("disk.img"), MIB);
        try (Machine machine = new Machine(dir, Engine.URING)) {
            Domain guest = machine.guest(1);
            Toolstack.Device device = Machine.vbd(1, XVDA, image, "w");
            device.backendNodes().put("direct-io-safe", "1");
            Xbd xbd = machine.startXbd(guest, machine.toolstack.attach(device), Abi.X86_64);
            byte[] pattern = new byte[8192];
            new Random(7).nextBytes(pattern);
            try (GuestIo io = new GuestIo(xbd, xbd.loop())) {
                assertThat(io.write(4096, pattern)).isZero();
                assertThat(io.write(512, Arrays.copyOf(pattern, 512))).isZero(); // not aligned for every store
                assertThat(io.read(4096, 8192)).isEqualTo(pattern);
                assertThat(io.read(512, 512)).isEqualTo(Arrays.copyOf(pattern, 512));
            }
        }
    }
}
