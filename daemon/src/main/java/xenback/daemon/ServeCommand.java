package xenback.daemon;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import xenback.block.backend.BlockOptions;
import xenback.block.nbd.NbdServer;
import xenback.xen.XenException;
import xenback.xen.io.EventLoop;

/** {@code xenback serve}: checks what was asked, serves until a signal comes, and cleans up. */
@Command(
        name = "serve",
        description =
                "Serve disks and network interfaces to guests; on the embedded Xen each guest's disk is also an NBD"
                        + " export, and each of its interfaces an Ethernet device.",
        footer = {
            "%nSPEC is target,format,vdev,access and key=value as in xl-disk-configuration(5):",
            "  target=PATH    image file or block device; last, it may contain commas",
            "  format=raw     the layout of the store (raw)",
            "  vdev=NAME      xvda, xvda1, sdb, hda1, d0p1, or a number such as 51712",
            "  access=w       r or ro, w or rw",
            "  devtype=disk   disk, or cdrom for a medium that is never written",
            "  no-discard     do not offer discard",
            "  guest=1        number of the guest domain (embedded Xen)",
            "  cache=buffered buffered, or direct for O_DIRECT",
            "  sector-size=512 512, or own for the sector of the block device",
            "%nVIF is key=value as in xl-network-configuration(5):",
            "  mac=ADDRESS    the guest's; by default one of 00:16:3e",
            "  ip=ADDRESS/N   addresses of the guest's end, with blanks between them",
            "  host-ip=ADDRESS/N  the same of the backend's end",
            "  mtu=1500       68 to 65521",
            "  bridge=NAME    bridge that the backend's end is put on",
            "  rate=RATE      what the guest may send: 10Mb/s, 1MB/s@20ms",
            "  vifname=NAME   the backend's end; by default xnb1i0 for the first of guest 1",
            "  guest-name=NAME  the guest's end; by default xn0, xn1 and so on",
            "  guest=1, devid=N  the guest, and the number of its interface",
            "  queues=1       pairs of rings, 1 to 64",
            "  link=tap       tap, pcap:FILE, hub:NAME, null, or loop",
            "  antispoof=off  on: drop what the guest sends from another address than mac= and ip=",
            "  offload=on     off: finish checksums and large frames in software, as userspace Open vSwitch needs it",
            "  script=PATH    hotplug script, such as vif-bridge or vif-openvswitch, in place of the built-in bridge=",
            "  gatewaydev=, vlan=  what such a script may want to know besides; type=vif is accepted",
            "%nExample: xenback serve --create 1G --disk disk.img,raw,xvda,w",
            "Example: xenback serve --vif mac=00:16:3e:00:00:01,ip=10.0.0.2/24,host-ip=10.0.0.1/24 --guest-netns guest"
        })
final class ServeCommand implements Callable<Integer> {
    private static final List<String> KINDS = List.of("vbd", "qdisk", "vbd3", "vif");

    private final XenbackCommand xenback;
    private final Serving.Starter starter;
    private final Screen screen;

    @Option(
            names = "--disk",
            paramLabel = "SPEC",
            description = "A disk; repeat it for more disks. On a host the toolstack names them instead.")
    private List<String> disks = List.of();

    @Option(
            names = "--vif",
            paramLabel = "VIF",
            description = "A network interface; repeat it for more. On a host the toolstack names them instead.")
    private List<String> vifs = List.of();

    @Option(
            names = "--guest-netns",
            paramLabel = "NAME",
            description = "Network namespace, made with ip netns, for the guests' ends of the interfaces.")
    private @Nullable String guestNamespace;

    @Option(
            names = "--create",
            paramLabel = "SIZE",
            description = "Make image files that are missing, with this size: 1G, 512M, 100K or bytes.")
    private @Nullable String create;

    @Option(
            names = "--xen",
            paramLabel = "XEN",
            defaultValue = "auto",
            description = "${COMPLETION-CANDIDATES}; auto is host in a domain of a Xen, else embedded.")
    private XenChoice xen = XenChoice.AUTO;

    @Option(
            names = "--kind",
            paramLabel = "KIND",
            split = ",",
            description =
                    "Backend directories to serve on a host: vbd (by default), qdisk, vbd3, vif, or several with commas.")
    private List<String> kinds = List.of("vbd");

    @Option(
            names = "--nbd-socket",
            paramLabel = "PATH",
            description = "Unix socket of the NBD exports; by default nbd.sock in the run directory.")
    private @Nullable Path nbdSocket;

    @Option(
            names = "--nbd-tcp",
            paramLabel = "[HOST:]PORT",
            description = "Serve NBD on TCP; on loopback unless HOST is given. Anyone who reaches it has the disks.")
    private @Nullable String nbdTcp;

    @Option(names = "--json", description = "Events on standard output, one JSON object per line.")
    private boolean json;

    @Option(
            names = "--run-dir",
            paramLabel = "DIR",
            description = "Directory for sockets, deleted at the end. By default a new one below"
                    + " $XDG_RUNTIME_DIR/xenback, /run/xenback or /tmp.")
    private @Nullable Path runDir;

    @Option(
            names = "--io",
            paramLabel = "ENGINE",
            defaultValue = "auto",
            description = "${COMPLETION-CANDIDATES}; auto is uring where the kernel allows it, else threads.")
    private EventLoop.Engine io = EventLoop.Engine.AUTO;

    @Mixin
    private Offers offers = new Offers();

    ServeCommand(XenbackCommand xenback, Serving.Starter starter, Screen screen) {
        this.xenback = xenback;
        this.starter = starter;
        this.screen = screen;
    }

    @Override
    public Integer call() throws UserError, IOException, InterruptedException {
        Announcer announcer = json ? new JsonAnnouncer(screen) : new HumanAnnouncer(screen);
        Log.route(announcer, xenback.verbosity());
        try {
            return serve(plan(), announcer).status();
        } catch (UserError | IOException e) {
            if (json) { // people get the line that follows
                announcer.tell(new ServeEvent.Failed(Reason.line(e)));
            }
            throw e;
        }
    }

    private ExitCode serve(ServePlan plan, Announcer announcer) throws UserError, IOException, InterruptedException {
        var service = new Service(announcer);
        Thread ending = endingOf(service);
        Runtime.getRuntime().addShutdownHook(ending);
        boolean good;
        try {
            service.begin(plan, this::openRunDir, starter);
            service.awaitFailure();
        } finally {
            takeBack(ending);
            good = service.end();
        }
        return good ? ExitCode.OK : ExitCode.FAILURE;
    }

    /** Everything that can be wrong with what was typed or with the stores is found here, before anything starts. */
    private ServePlan plan() throws UserError {
        BlockOptions offered = offers.disks();
        XenChoice settled = xen.settle(XenChoice.HYPERVISOR_TYPE);
        return settled == XenChoice.HOST ? hostPlan(offered) : embeddedPlan(offered);
    }

    private ServePlan hostPlan(BlockOptions offered) throws UserError {
        if (!vifs.isEmpty() || guestNamespace != null) {
            throw UserError.usage("--vif and --guest-netns are for the embedded Xen (--xen embedded); on a host the"
                    + " toolstack names the interfaces, as in vif=['mac=00:16:3e:00:00:01,bridge=xenbr0']");
        }
        if (!disks.isEmpty() || create != null || nbdSocket != null || nbdTcp != null) {
            throw UserError.usage(
                    "--disk, --create, --nbd-socket and --nbd-tcp are for the embedded Xen (--xen embedded);"
                            + " on a host the toolstack names the disks, as in disk=['format=raw,vdev=xvda,access=rw,"
                            + "script=block-xenback,target=/path']");
        }
        for (String kind : kinds) {
            if (!KINDS.contains(kind)) {
                throw UserError.usage("--kind " + kind + ": known are " + String.join(", ", KINDS));
            }
        }
        return new ServePlan(
                List.of(),
                List.of(),
                Optional.empty(),
                XenChoice.HOST,
                List.copyOf(new LinkedHashSet<>(kinds)),
                io,
                offered,
                offers.nics(),
                List.of(),
                xenback.verbosity());
    }

    private ServePlan embeddedPlan(BlockOptions offered) throws UserError {
        if (offers.antispoof()) {
            throw UserError.usage(
                    "--antispoof is for a host; on the embedded Xen each interface says it for itself, as in"
                            + " --vif ip=10.0.0.2/24,antispoof=on");
        }
        if (disks.isEmpty() && vifs.isEmpty()) {
            throw UserError.usage("no --disk and no --vif; write it as --disk disk.img,raw,xvda,w"
                    + " or --vif mac=00:16:3e:00:00:01,ip=10.0.0.2/24");
        }
        List<DiskSpec> specs = new ArrayList<>();
        for (String disk : disks) {
            specs.add(DiskSpec.parse(disk));
        }
        List<NicSpec> nics = nics();
        DiskPreflight.checkVdevs(specs);
        List<SocketAddress> addresses = addresses();
        if (create == null) {
            DiskPreflight.check(specs);
        } else {
            DiskPreflight.checkOrCreate(specs, ByteSize.parse(create));
        }
        NicPreflight.check(nics, Optional.ofNullable(guestNamespace));
        return new ServePlan(
                List.copyOf(specs),
                nics,
                Optional.ofNullable(guestNamespace),
                XenChoice.EMBEDDED,
                kinds,
                io,
                offered,
                offers.nics(),
                addresses,
                xenback.verbosity());
    }

    private List<NicSpec> nics() throws UserError {
        if (guestNamespace != null && vifs.isEmpty()) {
            throw UserError.usage("--guest-netns is for interfaces; write them as --vif mac=00:16:3e:00:00:01");
        }
        List<NicSpec> nics = new ArrayList<>();
        for (String vif : vifs) {
            nics.add(NicSpec.parse(vif));
        }
        return NicPreflight.numbered(nics);
    }

    private List<SocketAddress> addresses() throws UserError {
        List<SocketAddress> addresses = new ArrayList<>();
        if (nbdSocket != null) {
            Path parent = nbdSocket.toAbsolutePath().getParent();
            if (parent == null || !Files.isDirectory(parent)) {
                throw UserError.failure("--nbd-socket " + nbdSocket + ": its directory does not exist; make it first");
            }
            addresses.add(UnixDomainSocketAddress.of(RunDir.bindable(nbdSocket)));
            try {
                NbdServer.requireFree(nbdSocket);
            } catch (XenException e) {
                throw UserError.failure("--nbd-socket " + Reason.line(e), e);
            }
        }
        if (nbdTcp != null) {
            InetSocketAddress address = TcpAddress.parse(nbdTcp);
            if (!address.getAddress().isLoopbackAddress()) {
                screen.err("xenback: anyone who can reach " + nbdTcp + " can use the disks; NBD asks for no password");
            }
            addresses.add(address);
        }
        return addresses;
    }

    private RunDir openRunDir() throws UserError, IOException {
        return runDir != null ? RunDir.open(runDir) : RunDir.openBelow(RunDir.usualBase(System.getenv(), RunDir.uid()));
    }

    /** What a signal starts. The JVM would end with 128 + its number; a clean end on request is a success, so it halts. */
    private Thread endingOf(Service service) {
        return Thread.ofPlatform().name("xenback-ending").unstarted(() -> {
            boolean good = service.end();
            screen.close();
            Runtime.getRuntime().halt((good ? ExitCode.OK : ExitCode.FAILURE).status());
        });
    }

    /** From here on this thread cleans up; if a signal was first, its thread does and ends the process. */
    private static void takeBack(Thread ending) throws InterruptedException {
        try {
            Runtime.getRuntime().removeShutdownHook(ending);
        } catch (IllegalStateException signalWasFirst) {
            new CountDownLatch(1).await();
        }
    }
}
