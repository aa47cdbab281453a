package xenback.block;

import static xenback.fuzz.FuzzTarget.require;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashSet;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifRequest;
import xenback.block.protocol.Rule;
import xenback.fuzz.FuzzInput;
import xenback.xen.bus.XenbusState;

/**
 * One device and what its frontend knows of it. A round goes from one quiet moment to the next: requests, and rarely
 * something else, then the wait until all is answered or the ring is broken, then the account.
 */
final class RingScript {
    private static final int MOST_STEPS = 64;
    private static final int SLOTS = HostileFrontend.SLOTS;

    /** The payload pages from here on hold descriptors of indirect requests. */
    private static final int DESCRIPTOR_PAGES = 24;

    private static final int RSP_PROD = 8;
    private static final long AGAIN_NANOS = 20_000_000;
    private static final int DISK_SECTORS = ScriptedDisk.SIZE_BYTES / 512;
    private static final byte PATTERN = 0x77;
    private static final MemorySegment UNTOUCHED =
            Arena.ofAuto().allocate(4096, 8).fill(PATTERN);

    private final HostileFrontend frontend;
    private final ScriptedDisk disk;
    private final Abi abi;
    private final MemorySegment slotBytes = Arena.ofAuto().allocate(112, 8);
    private final int[] descriptorGrefs = new int[HostileFrontend.PAYLOAD_PAGES - DESCRIPTOR_PAGES];

    /** Ids of this round's requests. */
    private final Set<Long> asked = new HashSet<>();

    /** Sectors of payload pages that a request of this round lets the backend write. */
    private final boolean[] maySee = new boolean[HostileFrontend.PAYLOAD_PAGES * 8];

    private long lastId;

    /** The counters at the last quiet moment. */
    private int roundStart;

    /** A slot, a descriptor or the producer's counter was rewritten, so that ids and pages are anybody's guess. */
    private boolean tampered;

    /** The producer's counter may have been wrong for a moment, so that the backend may give up the ring. */
    private boolean mayBreak;

    /** The backend's counter is ours for this round. */
    private boolean rspProdRewritten;

    private long honestId;

    /** How often the backend had given up a ring when the round began. */
    private long brokenBefore;

    /** Requests that the backend took over earlier connections. */
    private long takenBefore;

    RingScript(HostileFrontend frontend, ScriptedDisk disk, Abi abi) {
        this.frontend = frontend;
        this.disk = disk;
        this.abi = abi;
        fillPages();
    }

    void run(FuzzInput in) throws Exception {
        for (int i = 0; i < MOST_STEPS && in.more(); i++) {
            step(in);
        }
        settle();
    }

    private void step(FuzzInput in) throws Exception {
        switch (in.below(16)) {
            case 0, 1, 2, 3, 4 -> send(in);
            case 5 -> sendIndirect(in);
            case 6 -> {
                for (int i = in.below(SLOTS); i >= 0; i--) {
                    send(in);
                }
            }
            case 7 -> sendNoise(in);
            case 8 -> rewriteSlot(in);
            case 9 -> rewriteDescriptors(in);
            case 10 -> claim(in);
            case 11 -> rewriteCounters(in);
            case 12 -> frontend.grant(in.below(HostileFrontend.PAYLOAD_PAGES), in.rarely() ? 3 : 0, in.rarely());
            case 13 -> disk.hold();
            case 14 -> {
                disk.result = in.rarely() ? -5 : 0;
                disk.release(in.flag());
            }
            default -> {
                if (in.rarely()) {
                    frontend.notifyBackend(); // in vain, mostly: too many of them are made to wait (XSA-332)
                } else if (in.rarely()) {
                    settle();
                    reconnect();
                } else {
                    settle();
                }
            }
        }
    }

    private void send(FuzzInput in) throws Exception {
        makeRoom(in);
        int operation = in.rarely() ? in.u8() : in.pick(0, 1, 3, 2, Blkif.OP_DISCARD, 0, 1, 0);
        BlkifRequest request = new BlkifRequest();
        request.compose(operation, nextId(), in.rarely() ? in.u64() : in.below(DISK_SECTORS));
        if (operation == Blkif.OP_DISCARD) {
            request.discard(in.rarely() ? in.u64() : 1 + in.below(64), in.flag());
        } else {
            tampered |= operation == Blkif.OP_INDIRECT; // its segments are taken for grefs
            addSegments(in, request, in.below(12), operation == Blkif.OP_READ);
        }
        send(request);
    }

    private void sendIndirect(FuzzInput in) throws Exception {
        makeRoom(in);
        BlkifRequest request = new BlkifRequest();
        request.compose(in.rarely() ? in.u8() : in.below(2), nextId(), in.below(DISK_SECTORS));
        int segments = in.rarely() ? in.u16() % 1100 : in.below(64);
        addSegments(in, request, segments, true); // another's segments may become these of a read
        int first = DESCRIPTOR_PAGES + in.below(descriptorGrefs.length - 2);
        for (int i = 0; i < descriptorGrefs.length; i++) {
            int page = Math.min(first + i, HostileFrontend.PAYLOAD_PAGES - 1);
            boolean broken = in.rarely();
            descriptorGrefs[i] = broken ? in.u16() : frontend.gref(page);
            tampered |= broken;
        }
        // Three pages side by side. Another request of this round may use them too: then its segments are these.
        MemorySegment pages = frontend.pages(first, 3);
        request.encodeIndirect(slotBytes, abi.layout(), 0, pages, 0, descriptorGrefs, 0);
        tampered |= segments > 512;
        asked.add(request.id());
        publish();
    }

    private void addSegments(FuzzInput in, BlkifRequest request, int count, boolean reads) {
        for (int i = 0; i < count; i++) {
            int page = in.below(DESCRIPTOR_PAGES);
            boolean broken = in.rarely();
            int first = broken ? in.u8() : in.below(8);
            int last = broken ? in.u8() : first + in.below(8 - first);
            int gref = in.rarely() ? in.u32() : frontend.gref(page);
            tampered |= gref != frontend.gref(page) && gref >= 0 && gref < 64; // may be another page of ours
            request.addSegment(gref, first, last);
            for (int sector = first; sector <= Math.min(last, 7); sector++) {
                maySee[page * 8 + sector] |= reads;
            }
        }
    }

    private void send(BlkifRequest request) {
        request.encode(slotBytes, abi.layout(), 0);
        asked.add(request.id());
        publish();
    }

    private void sendNoise(FuzzInput in) throws Exception {
        makeRoom(in);
        slotBytes.fill((byte) in.u8());
        byte[] noise = in.bytes(in.below(113));
        MemorySegment.copy(noise, 0, slotBytes, ValueLayout.JAVA_BYTE, 0, noise.length);
        tampered = true;
        publish();
    }

    /** Puts what is in {@link #slotBytes} into the next slot, whether there is room or not. */
    private void publish() {
        int next = frontend.reqProd() + 1;
        mayBreak |= Integer.compareUnsigned(next - roundStart, SLOTS) > 0;
        frontend.send(slotBytes);
    }

    /** An honest frontend waits for room; this one rarely does not. */
    private void makeRoom(FuzzInput in) throws Exception {
        if (frontend.reqProd() - roundStart == SLOTS) {
            if (in.rarely()) {
                tampered = true; // an unseen response is overwritten
            } else {
                settle();
            }
        }
    }

    private void rewriteSlot(FuzzInput in) {
        MemorySegment slot = frontend.slot(in.below(SLOTS));
        for (int i = in.below(4); i >= 0; i--) {
            slot.set(ValueLayout.JAVA_BYTE, in.below((int) slot.byteSize()), (byte) in.u8());
        }
        tampered = true;
    }

    private void rewriteDescriptors(FuzzInput in) {
        MemorySegment page = frontend.page(DESCRIPTOR_PAGES + in.below(descriptorGrefs.length));
        for (int i = in.below(8); i >= 0; i--) {
            page.set(ValueLayout.JAVA_BYTE, in.below(512), (byte) in.u8());
        }
        tampered = true;
    }

    private void claim(FuzzInput in) {
        int to = in.rarely() ? in.u32() : frontend.reqProd() + in.below(8) - (in.rarely() ? in.u8() : 0);
        mayBreak |= to - frontend.reqProd() < 0 || Integer.compareUnsigned(to - roundStart, SLOTS) > 0;
        tampered = true; // what lies in those slots is taken for requests
        frontend.claim(to);
    }

    /** Those that are the backend's to write, and the one that asks it for events. */
    private void rewriteCounters(FuzzInput in) {
        int at = in.pick(4, RSP_PROD, 12);
        rspProdRewritten |= at == RSP_PROD;
        frontend.ring().set(ValueLayout.JAVA_INT, at, in.flag() ? in.u32() : frontend.reqProd() + 1);
    }

    /** One honest request more, and the wait until it and all before it are answered. */
    private void settle() throws Exception {
        disk.result = 0;
        disk.release(false);
        frontend.grant(0, 0, false);
        if (frontend.reqProd() - roundStart == SLOTS && !mayBreak) {
            Await.until(() -> served() || broken(), this::picture); // to have room
            tampered = true; // the oldest response is about to be overwritten
            roundStart = frontend.reqProd();
        }
        awaitHonest();
        if (broken()) {
            require(mayBreak, "the ring was broken for nothing: " + picture());
            frontend.awaitBackend(XenbusState.CLOSING);
            Await.until(() -> frontend.error().contains("RING_OVERFLOW"), frontend::error);
            reconnect();
            awaitHonest();
        } else {
            account();
        }
        require(
                frontend.counters().inFlight() == 0,
                "in flight: " + frontend.counters().inFlight());
        require(disk.fault.get().isEmpty(), disk.fault.get());
        begin();
    }

    /** A counter that went back and forth hides a request: then there is another one, so that in the end all is known. */
    private void awaitHonest() throws Exception {
        honestId = honest();
        long[] againNanos = {System.nanoTime() + AGAIN_NANOS};
        Await.until(
                () -> {
                    if (mayBreak && System.nanoTime() - againNanos[0] > 0) {
                        honestId = honest();
                        againNanos[0] = System.nanoTime() + AGAIN_NANOS;
                    }
                    return answered() || broken();
                },
                this::picture);
        if (!broken()) {
            int status = status(honestId);
            require(status == Blkif.STATUS_OKAY, "status of an honest read: " + status + ", " + picture());
        }
    }

    private long honest() {
        BlkifRequest request = new BlkifRequest();
        request.compose(Blkif.OP_READ, nextId(), 0);
        request.addSegment(frontend.gref(0), 0, 7);
        for (int sector = 0; sector < 8; sector++) {
            maySee[sector] = true;
        }
        send(request);
        return request.id();
    }

    private boolean answered() {
        return served() && status(honestId) <= 0 && (rspProdRewritten || frontend.rspProd() == frontend.reqProd());
    }

    /** Of the answer to a request, wherever in the ring it is; 1 if it is nowhere. */
    private int status(long id) {
        for (int i = 0; i < SLOTS; i++) {
            MemorySegment response = frontend.slot(i);
            if (response.get(ValueLayout.JAVA_LONG_UNALIGNED, 0) == id) {
                return response.get(ValueLayout.JAVA_SHORT_UNALIGNED, 10);
            }
        }
        return 1;
    }

    /**
     * True if the backend has taken and answered as many requests as we claim. What the ring says of that may be our own
     * writing.
     */
    private boolean served() {
        int taken = (int) (frontend.counters().requests() - takenBefore);
        return taken == frontend.reqProd() && frontend.counters().inFlight() == 0;
    }

    private boolean broken() {
        return frontend.counters().violations(Rule.RING_OVERFLOW) > brokenBefore;
    }

    private String picture() {
        return "requests up to " + frontend.reqProd() + ", answers up to " + frontend.rspProd() + ", from " + roundStart
                + ", in flight " + frontend.counters().inFlight() + ", violations " + violations();
    }

    private String violations() {
        return Stream.of(Rule.values())
                .filter(rule -> rule != Rule.NONE)
                .map(rule -> rule + " " + frontend.counters().violations(rule))
                .collect(Collectors.joining(", "));
    }

    private void reconnect() throws Exception {
        frontend.reset(); // fails if a page is still in use
        takenBefore = frontend.counters().requests();
        frontend.connect();
        begin();
    }

    /** Each request of the round has its answer, nothing else has one, and no page was written but where it was asked. */
    private void account() {
        if (tampered) {
            return;
        }
        int count = frontend.reqProd() - roundStart;
        require(count == asked.size(), count + " answers to " + asked.size() + " requests");
        for (int i = roundStart; i != frontend.reqProd(); i++) {
            MemorySegment response = frontend.slot(i);
            long id = response.get(ValueLayout.JAVA_LONG_UNALIGNED, 0);
            require(asked.remove(id), "an answer to nothing, or a second one: " + Long.toHexString(id));
            int status = response.get(ValueLayout.JAVA_SHORT_UNALIGNED, 10);
            require(status <= 0 && status >= -2, "status " + status);
            require(response.get(ValueLayout.JAVA_BYTE, 9) == 0, "padding is not zero");
        }
        for (int page = 0; page < DESCRIPTOR_PAGES; page++) {
            checkPage(page);
        }
    }

    private void checkPage(int page) {
        MemorySegment memory = frontend.page(page);
        for (int sector = 0; sector < 8; sector++) {
            long from = sector * 512L;
            boolean written = MemorySegment.mismatch(memory, from, from + 512, UNTOUCHED, from, from + 512) >= 0;
            require(!written || maySee[page * 8 + sector], "page " + page + " was written at " + from);
        }
    }

    private void begin() {
        roundStart = frontend.reqProd();
        asked.clear();
        java.util.Arrays.fill(maySee, false);
        tampered = false;
        mayBreak = false;
        rspProdRewritten = false;
        brokenBefore = frontend.counters().violations(Rule.RING_OVERFLOW);
        fillPages();
    }

    private void fillPages() {
        frontend.pages(0, DESCRIPTOR_PAGES).fill(PATTERN);
    }

    private long nextId() {
        return 0x6D00_0000_0000_0000L | ++lastId;
    }
}
