package xenback.block.backend;

import static xenback.fuzz.FuzzTarget.require;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import xenback.block.HostileRing;
import xenback.block.protocol.Abi;
import xenback.block.protocol.Blkif;
import xenback.block.protocol.BlkifRequest;
import xenback.block.protocol.Rule;
import xenback.fuzz.FuzzInput;

/**
 * What a guest does to one device, as an input says, a step in each turn of the loop, and what it knows of it. A round goes from
 * one quiet moment to the next: requests, and rarely something else, then the wait until all is answered or the ring is broken,
 * then the account. On the loop, but for {@link #open} and {@link #begin}, which are called between turns.
 */
final class RingScript {
    /** What is to be done next. */
    enum Turn {
        /** The next turn. */
        AGAIN,
        /** A new session, and then the next turn. */
        RECONNECT,
        /** The input is at its end, and the device works. */
        OVER
    }

    private enum Stage {
        /** Steps of the input. */
        STEPS,
        /** After the loss of a ring, the next one has to work. */
        NEW_RING,
        /** The ring is full and there has to be room for the honest request. */
        ROOM,
        /** The honest request, and the wait until it and all before it are answered. */
        ANSWERS
    }

    private static final int MOST_STEPS = 64;
    private static final int SLOTS = HostileRing.SLOTS;

    /** The payload pages from here on hold descriptors of indirect requests. */
    private static final int DESCRIPTOR_PAGES = 24;

    private static final int REQ_PROD = 0;
    private static final int RSP_PROD = 8;

    /** After so many turns without an answer there is another honest request, if one can have been hidden. */
    private static final int AGAIN_TURNS = 50;

    /** An answer takes some turns; a guest that was made to wait (XSA-332) waits a quarter of a second. */
    private static final int MOST_TURNS = 10_000;

    private static final long MOST_NANOS = 20_000_000_000L;

    /** 2^64 divided by it, and odd: its multiples are far from each other. */
    private static final long GOLDEN_RATIO = 0x9E37_79B9_7F4A_7C15L;

    private static final int DISK_SECTORS = ScriptedDisk.SIZE_BYTES / 512;
    private static final byte PATTERN = 0x77;
    private static final MemorySegment UNTOUCHED =
            Arena.ofAuto().allocate(4096, 8).fill(PATTERN);

    private final RingDevice device;
    private final HostileRing frontend;
    private final ScriptedDisk disk;
    private final BlockCounters counters;
    private final Abi abi;
    private final MemorySegment slotBytes = Arena.ofAuto().allocate(112, 8);
    private final int[] descriptorGrefs = new int[HostileRing.PAYLOAD_PAGES - DESCRIPTOR_PAGES];

    // Of one input.
    private FuzzInput in;
    private int steps;
    private Stage stage = Stage.STEPS;
    private boolean reconnects;

    /** In so many of the backend's next copies and disk operations the guest rewrites something. */
    private int deedsAmid;

    // Of one wait.
    private int turnsWaited;
    private long waitedSinceNanos;

    /** Ids of this round's requests. */
    private final Set<Long> asked = new HashSet<>();

    /** Sectors of payload pages that a request of this round lets the backend write. */
    private final boolean[] maySee = new boolean[HostileRing.PAYLOAD_PAGES * 8];

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

    /** Requests that the backend took over earlier connections. */
    private long takenBefore;

    RingScript(RingDevice device) {
        this.device = device;
        frontend = device.ring;
        disk = device.disk;
        counters = device.counters;
        abi = device.abi;
        begin();
    }

    /** Makes an input ready to be played. */
    void open(FuzzInput input) {
        in = input;
        steps = 0;
        stage = Stage.STEPS;
        deedsAmid = 0;
    }

    /** A round on a new connection. */
    void begin() {
        takenBefore = counters.requests();
        beginRound();
    }

    /** Does what is due in this turn of the loop. */
    Turn turn() {
        switch (stage) {
            case STEPS -> {
                if (steps < MOST_STEPS && in.more()) {
                    steps++;
                    step();
                } else {
                    settle();
                }
            }
            case NEW_RING -> settle();
            case ROOM -> {
                if (served() || device.isBroken()) {
                    tampered = true; // the oldest response is about to be overwritten
                    roundStart = frontend.reqProd();
                    honestId = honest();
                    await(Stage.ANSWERS);
                } else {
                    countTurn();
                }
            }
            case ANSWERS -> {
                return awaitAnswers();
            }
        }
        return Turn.AGAIN;
    }

    private Turn awaitAnswers() {
        lookForWritesToTheRing();
        if (device.isBroken()) {
            require(mayBreak, "the ring was broken for nothing: " + picture());
            require(device.brokenBecause().contains("RING_OVERFLOW"), device.brokenBecause());
            stage = Stage.NEW_RING;
            return Turn.RECONNECT;
        }
        if (!answered()) {
            countTurn();
            if (mayBreak && turnsWaited % AGAIN_TURNS == 0) {
                honestId = honest(); // a counter that went back and forth hides a request
            }
            return Turn.AGAIN;
        }
        int status = status(honestId);
        require(status == Blkif.STATUS_OKAY, "status of an honest read: " + status + ", " + picture());
        account();
        require(counters.inFlight() == 0, "in flight: " + counters.inFlight());
        require(disk.fault.isEmpty(), disk.fault);
        beginRound();
        stage = Stage.STEPS;
        if (reconnects) {
            reconnects = false;
            return Turn.RECONNECT;
        }
        return steps < MOST_STEPS && in.more() ? Turn.AGAIN : Turn.OVER;
    }
    /** Between two of the backend's turns. */
    private void step() {
        switch (in.below(18)) {
            case 0, 1, 2, 3, 4 -> send();
            case 5 -> sendIndirect();
            case 6 -> {
                for (int i = in.below(SLOTS); i >= 0 && stage == Stage.STEPS; i--) {
                    send();
                }
            }
            case 7 -> sendNoise();
            case 8, 9, 10, 11, 12 -> rewrite();
            case 13 -> deedsAmid = 1 + in.below(8);
            case 14 -> disk.hold();
            case 15 -> {
                disk.result = in.rarely() ? -5 : 0;
                disk.release(in.flag());
            }
            case 16 -> {
                if (in.rarely()) {
                    frontend.notifyBackend(); // in vain, mostly: too many of them are made to wait (XSA-332)
                }
            }
            default -> {
                reconnects = in.rarely();
                settle();
            }
        }
    }

    /** Amid one of the backend's: before it copies, or as it hands an operation to the disk. */
    void amid() {
        if (stage == Stage.STEPS && deedsAmid > 0) {
            deedsAmid--;
            rewrite();
        }
    }

    private void rewrite() {
        switch (in.below(5)) {
            case 0 -> rewriteSlot();
            case 1 -> rewriteDescriptors();
            case 2 -> claim();
            case 3 -> rewriteCounters();
            default -> frontend.grant(in.below(HostileRing.PAYLOAD_PAGES), in.rarely() ? 3 : 0, in.rarely());
        }
    }

    private void send() {
        if (!hasRoom()) {
            return;
        }
        int operation = in.rarely() ? in.u8() : in.pick(0, 1, 3, 2, Blkif.OP_DISCARD, 0, 1, 0);
        BlkifRequest request = new BlkifRequest();
        request.compose(operation, nextId(), in.rarely() ? in.u64() : in.below(DISK_SECTORS));
        if (operation == Blkif.OP_DISCARD) {
            request.discard(in.rarely() ? in.u64() : 1 + in.below(64), in.flag());
        } else {
            tampered |= operation == Blkif.OP_INDIRECT; // its segments are taken for grefs
            addSegments(request, in.below(12), operation == Blkif.OP_READ);
        }
        send(request);
    }

    private void sendIndirect() {
        if (!hasRoom()) {
            return;
        }
        BlkifRequest request = new BlkifRequest();
        request.compose(in.rarely() ? in.u8() : in.below(2), nextId(), in.below(DISK_SECTORS));
        int segments = in.rarely() ? in.u16() % 1100 : in.below(64);
        addSegments(request, segments, true); // another's segments may become these of a read
        int first = DESCRIPTOR_PAGES + in.below(descriptorGrefs.length - 2);
        for (int i = 0; i < descriptorGrefs.length; i++) {
            int page = Math.min(first + i, HostileRing.PAYLOAD_PAGES - 1);
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

    private void addSegments(BlkifRequest request, int count, boolean reads) {
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

    private void sendNoise() {
        if (!hasRoom()) {
            return;
        }
        slotBytes.fill((byte) in.u8());
        byte[] noise = in.bytes(in.below(113));
        MemorySegment.copy(noise, 0, slotBytes, ValueLayout.JAVA_BYTE, 0, noise.length);
        tampered = true;
        publish();
    }

    /** Puts what is in {@link #slotBytes} into the next slot, whether there is room or not. */
    private void publish() {
        lookForWritesToTheRing();
        int next = frontend.reqProd() + 1;
        mayBreak |= Integer.compareUnsigned(next - roundStart, SLOTS) > 0;
        frontend.send(slotBytes);
    }

    /** A read into the ring's own page, which this guest may ask for, puts the disk's bytes over its counters. */
    private void lookForWritesToTheRing() {
        boolean written = frontend.ring().get(ValueLayout.JAVA_INT, REQ_PROD) != frontend.reqProd();
        mayBreak |= written;
        tampered |= written;
        rspProdRewritten |= written;
    }

    /** An honest frontend waits for room; this one rarely does not. */
    private boolean hasRoom() {
        if (frontend.reqProd() - roundStart == SLOTS) {
            if (!in.rarely()) {
                settle();
                return false;
            }
            tampered = true; // an unseen response is overwritten
        }
        return true;
    }

    private void rewriteSlot() {
        MemorySegment slot = frontend.slot(in.below(SLOTS));
        for (int i = in.below(4); i >= 0; i--) {
            slot.set(ValueLayout.JAVA_BYTE, in.below((int) slot.byteSize()), (byte) in.u8());
        }
        tampered = true;
    }

    private void rewriteDescriptors() {
        MemorySegment page = frontend.page(DESCRIPTOR_PAGES + in.below(descriptorGrefs.length));
        for (int i = in.below(8); i >= 0; i--) {
            page.set(ValueLayout.JAVA_BYTE, in.below(512), (byte) in.u8());
        }
        tampered = true;
    }

    private void claim() {
        lookForWritesToTheRing();
        int to = in.rarely() ? in.u32() : frontend.reqProd() + in.below(8) - (in.rarely() ? in.u8() : 0);
        mayBreak |= to - frontend.reqProd() < 0 || Integer.compareUnsigned(to - roundStart, SLOTS) > 0;
        tampered = true; // what lies in those slots is taken for requests
        frontend.claim(to);
    }

    /** Those that are the backend's to write, and the one that asks it for events. */
    private void rewriteCounters() {
        int at = in.pick(4, RSP_PROD, 12);
        rspProdRewritten |= at == RSP_PROD;
        frontend.ring().set(ValueLayout.JAVA_INT, at, in.flag() ? in.u32() : frontend.reqProd() + 1);
    }

    /** One honest request more, and the wait until it and all before it are answered. */
    private void settle() {
        disk.result = 0;
        disk.release(false);
        frontend.grant(0, 0, false);
        if (frontend.reqProd() - roundStart == SLOTS && !mayBreak) {
            await(Stage.ROOM);
        } else {
            honestId = honest();
            await(Stage.ANSWERS);
        }
    }

    private void await(Stage next) {
        stage = next;
        turnsWaited = 0;
        waitedSinceNanos = System.nanoTime();
    }

    private void countTurn() {
        turnsWaited++;
        require(
                turnsWaited < MOST_TURNS || System.nanoTime() - waitedSinceNanos < MOST_NANOS,
                "still waiting: " + picture());
    }

    private long honest() {
        BlkifRequest request = new BlkifRequest();
        // An id that no rewritten byte of another request makes, whose answer would be taken for this one's.
        request.compose(Blkif.OP_READ, ++lastId * GOLDEN_RATIO, 0);
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
        int taken = (int) (counters.requests() - takenBefore);
        return taken == frontend.reqProd() && counters.inFlight() == 0;
    }

    private String picture() {
        return "requests up to " + frontend.reqProd() + ", answers up to " + frontend.rspProd() + ", from " + roundStart
                + ", in flight " + counters.inFlight() + ", violations " + violations();
    }

    private String violations() {
        return Stream.of(Rule.values())
                .filter(rule -> rule != Rule.NONE)
                .map(rule -> rule + " " + counters.violations(rule))
                .collect(Collectors.joining(", "));
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

    private void beginRound() {
        roundStart = frontend.reqProd();
        asked.clear();
        Arrays.fill(maySee, false);
        tampered = false;
        mayBreak = false;
        rspProdRewritten = false;
        fillPages();
    }

    private void fillPages() {
        frontend.pages(0, DESCRIPTOR_PAGES).fill(PATTERN);
    }

    private long nextId() {
        return 0x6D00_0000_0000_0000L | ++lastId;
    }
}
