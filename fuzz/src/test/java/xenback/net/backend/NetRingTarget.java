package xenback.net.backend;

import static xenback.fuzz.FuzzTarget.require;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import xenback.fuzz.FaultLog;
import xenback.fuzz.FuzzInput;
import xenback.fuzz.FuzzTarget;
import xenback.net.link.VnetHeader;
import xenback.net.protocol.Netif;
import xenback.xen.XenException;
import xenback.xen.io.EventLoop;

/**
 * A guest that writes into its rings and pages while both paths of the backend work on them: nothing is thrown, no page is touched
 * that was not named, at most one response is given for each request, and what goes to the link is a frame.
 */
public final class NetRingTarget implements FuzzTarget {
    private final FaultLog log = new FaultLog();
    private final EventLoop loop;

    public NetRingTarget() throws XenException {
        loop = EventLoop.start("fuzz-net", EventLoop.Engine.THREADS);
    }

    @Override
    public void run(FuzzInput in) throws Exception {
        NetifParameters.Receives receives =
                new NetifParameters.Receives(!in.rarely(), !in.rarely(), !in.rarely(), !in.rarely(), !in.rarely());
        int start = in.pick(0, 255, -3);
        try (SuiteRig rig = new SuiteRig(loop, start, receives)) {
            boolean alive = true;
            int sweeps = 0;
            do {
                int requests = in.below(40);
                for (int i = 0; i < requests; i++) {
                    put(in, rig);
                }
                if (in.rarely()) {
                    rig.claimTx(in.u32());
                }
                Thread scribbler = scribble(in, rig);
                alive = rig.sweepTx();
                if (alive) {
                    alive = rig.sweepRx();
                }
                scribbler.join();
                check(rig, alive);
                sweeps++;
            } while (alive && in.more() && sweeps < 8);
        }
        log.check();
    }

    private static void put(FuzzInput in, SuiteRig rig) {
        switch (in.below(8)) {
            case 0 -> rig.rx(in.u16(), in.below(64));
            case 1 -> {
                rig.tx(in.below(64), in.u8(), Netif.TX_EXTRA_INFO | in.below(4), in.u8(), 60 + in.u8());
                rig.txExtra(in.rarely() ? in.u8() : 1 + in.below(5), in.rarely() ? in.u8() : 0, in.u64());
            }
            case 2 -> rig.txUngranted(1000 + in.u8(), in.u8(), 0, in.u8(), 60);
            case 3 -> {
                rig.tx(in.below(64), in.u8(), Netif.TX_MORE_DATA | in.below(4), in.u8(), 1000 + in.u8());
                rig.tx(in.below(64), in.u8(), in.rarely() ? in.u16() : 0, in.u8(), in.rarely() ? in.u16() : in.u8());
            }
            case 4 -> {
                byte[] frame = SuiteFrames.tcp(100 + in.below(3000));
                int at = in.below(frame.length);
                frame[at] = (byte) in.u8();
                boolean gso = in.flag();
                rig.arrive(frame, in.below(4), gso ? VnetHeader.GSO_TCPV4 : 0, gso ? 1 + in.below(1500) : 0);
            }
            case 5 -> rig.arrive(in.bytes(in.below(200)), in.u8(), in.u8(), in.u16());
            case 6 -> {
                MemorySegment page = rig.page(in.below(64));
                byte[] bytes = SuiteFrames.bytes(SuiteFrames.TCP6_WITH_EXTENSIONS);
                bytes[in.below(bytes.length)] = (byte) in.u8();
                page.asSlice(in.below(200), bytes.length).copyFrom(MemorySegment.ofArray(bytes));
            }
            default -> rig.tx(in.below(64), 0, in.below(4), in.u8(), in.rarely() ? in.u16() : 60 + in.u8());
        }
    }

    /** The guest's other processor: writes over slots that the backend reads. */
    private static Thread scribble(FuzzInput in, SuiteRig rig) {
        int writes = in.below(32);
        int[] places = new int[writes];
        byte[] values = new byte[writes];
        for (int i = 0; i < writes; i++) {
            places[i] = in.u16();
            values[i] = (byte) in.u8();
        }
        return Thread.ofPlatform().start(() -> {
            for (int i = 0; i < writes; i++) {
                MemorySegment slot = (places[i] & 1) == 0 ? rig.txSlot(places[i] >> 5) : rig.rxSlot(places[i] >> 5);
                slot.set(ValueLayout.JAVA_BYTE, places[i] >> 1 & 7, values[i]);
            }
        });
    }

    private static void check(SuiteRig rig, boolean alive) {
        for (SuiteRig.Copy copy : rig.copies()) {
            require(copy.domid() == SuiteRig.GUEST, "a copy with domain " + copy.domid());
            require(copy.length() > 0 && copy.pageOffset() + copy.length() <= 4096, "a copy beyond its page: " + copy);
        }
        rig.copies().clear();
        for (int i = 0; i < rig.sentCount(); i++) {
            long bytes = rig.sent(i).byteSize();
            require(bytes >= 14 && bytes <= 65535, "a frame of " + bytes + " bytes");
        }
        require(!alive || rig.unansweredClaims() >= 0, "more responses than requests");
    }

    @Override
    public void close() throws IOException {
        loop.close();
        log.close();
    }
}
