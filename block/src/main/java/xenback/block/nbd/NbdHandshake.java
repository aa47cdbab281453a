package xenback.block.nbd;

import static xenback.block.nbd.NbdProtocol.U16;
import static xenback.block.nbd.NbdProtocol.U32;
import static xenback.block.nbd.NbdProtocol.U64;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The newstyle negotiation as a function from bytes to bytes: no socket, no clock. One option is answered per step; a
 * client that sends many waits for its own answers. Used by one thread at a time.
 */
final class NbdHandshake {
    /** What the owner has to do next. */
    enum Step {
        /** Receive more into the input. */
        RECEIVE,
        /** Send the output, then step again. */
        SEND,
        /** Send the output, if any, then begin the transmission of {@link #agreement}. */
        TRANSMIT,
        /** Send the output, if any, then close. */
        CLOSE
    }

    /** Room for one option; longer ones are dropped unread and answered with ERR_TOO_BIG. */
    static final int INPUT_BYTES = 16 << 10;

    /** A client that negotiates longer than this is not one. */
    static final int MAX_OPTIONS = 1024;

    private static final int MAX_OPTION_BYTES = INPUT_BYTES - NbdProtocol.OPTION_HEADER_BYTES;
    private static final int BASE_OUTPUT_BYTES = 2048;
    private static final int EXPORT_NAME_ZEROES = 124;
    private static final int PREFERRED_BLOCK_BYTES = 4096;

    private final List<NbdExport> exports;
    private final MemorySegment input;
    private final NbdOptionReplies replies;
    private int from;
    private int to;
    private boolean flagsSeen;
    private boolean fixedNewstyle;
    private boolean noZeroes;
    private int options;
    private boolean structured;

    /** The export for which base:allocation was selected last. */
    private @Nullable NbdExport extentsOf;

    /** Bytes of an option too long that have not arrived yet, and which option it is. */
    private long skipBytes;

    private int skippedOption;
    private @Nullable NbdAgreement agreement;

    /**
     * @param input {@link #INPUT_BYTES}
     * @param output {@link #outputBytes}; both stay the caller's
     */
    NbdHandshake(List<NbdExport> exports, MemorySegment input, MemorySegment output) {
        this.exports = exports;
        this.input = input;
        replies = new NbdOptionReplies(output);
    }

    /** Bytes of output that the longest answer to one option needs. */
    static int outputBytes(List<NbdExport> exports) {
        int bytes = BASE_OUTPUT_BYTES;
        for (NbdExport export : exports) {
            bytes += NbdProtocol.OPTION_REPLY_HEADER_BYTES + 4;
            bytes += export.nameBytes().length + export.descriptionBytes().length;
        }
        return bytes;
    }

    /** Writes what the server says first. */
    void greet() {
        replies.clear();
        replies.u64(NbdProtocol.NBDMAGIC);
        replies.u64(NbdProtocol.IHAVEOPT);
        replies.u16(NbdProtocol.FLAG_FIXED_NEWSTYLE | NbdProtocol.FLAG_NO_ZEROES);
    }

    /** Where received bytes go. Moves what is left of the input to its front. */
    int receiveFrom() {
        MemorySegment.copy(input, from, input, 0, to - from);
        to -= from;
        from = 0;
        return to;
    }

    void received(int bytes) {
        to += bytes;
    }

    /** Bytes of output to send. */
    int outputLength() {
        return replies.length();
    }

    /** What was agreed, after {@link Step#TRANSMIT}. */
    NbdAgreement agreement() {
        if (agreement == null) {
            throw new IllegalStateException("nothing agreed yet");
        }
        return agreement;
    }

    /** Where the input's unread bytes start: requests that the client sent without waiting for the last answer. */
    int earlyOffset() {
        return from;
    }

    int earlyBytes() {
        return to - from;
    }

    /** Answers one option, or says what is missing. */
    Step step() {
        replies.clear();
        if (!flagsSeen) {
            return clientFlags();
        }
        if (skipBytes > 0) {
            return skip();
        }
        if (to - from < NbdProtocol.OPTION_HEADER_BYTES) {
            return Step.RECEIVE;
        }
        int option = input.get(U32, from + 8L);
        long length = Integer.toUnsignedLong(input.get(U32, from + 12L));
        if (input.get(U64, from) != NbdProtocol.IHAVEOPT || !fixedNewstyle && option != NbdProtocol.OPT_EXPORT_NAME) {
            return Step.CLOSE;
        }
        if (length > MAX_OPTION_BYTES) {
            // EXPORT_NAME has no way to say no but to close.
            if (option == NbdProtocol.OPT_EXPORT_NAME) {
                return Step.CLOSE;
            }
            from += NbdProtocol.OPTION_HEADER_BYTES;
            skipBytes = length;
            skippedOption = option;
            return skip();
        }
        if (to - from < NbdProtocol.OPTION_HEADER_BYTES + length) {
            return Step.RECEIVE;
        }
        MemorySegment data = input.asSlice(from + NbdProtocol.OPTION_HEADER_BYTES, length);
        from += NbdProtocol.OPTION_HEADER_BYTES + (int) length;
        options++;
        return options > MAX_OPTIONS ? Step.CLOSE : answer(option, data);
    }

    private Step clientFlags() {
        if (to - from < 4) {
            return Step.RECEIVE;
        }
        int flags = input.get(U32, from);
        from += 4;
        if ((flags & ~(NbdProtocol.FLAG_FIXED_NEWSTYLE | NbdProtocol.FLAG_NO_ZEROES)) != 0) {
            return Step.CLOSE;
        }
        fixedNewstyle = (flags & NbdProtocol.FLAG_FIXED_NEWSTYLE) != 0;
        noZeroes = (flags & NbdProtocol.FLAG_NO_ZEROES) != 0;
        flagsSeen = true;
        return step();
    }

    private Step skip() {
        int dropped = (int) Math.min(skipBytes, to - from);
        from += dropped;
        skipBytes -= dropped;
        if (skipBytes > 0) {
            return Step.RECEIVE;
        }
        options++;
        return options > MAX_OPTIONS
                ? Step.CLOSE
                : refuse(skippedOption, NbdProtocol.REP_ERR_TOO_BIG, "option is longer than this server reads");
    }

    private Step answer(int option, MemorySegment data) {
        return switch (option) {
            case NbdProtocol.OPT_EXPORT_NAME -> exportName(data);
            case NbdProtocol.OPT_ABORT -> {
                acknowledge(option);
                yield Step.CLOSE;
            }
            case NbdProtocol.OPT_LIST -> list(data);
            case NbdProtocol.OPT_INFO, NbdProtocol.OPT_GO -> infoOrGo(option, data);
            case NbdProtocol.OPT_STRUCTURED_REPLY -> structuredReply(data);
            case NbdProtocol.OPT_LIST_META_CONTEXT, NbdProtocol.OPT_SET_META_CONTEXT -> metaContext(option, data);
            default -> refuse(option, NbdProtocol.REP_ERR_UNSUP, "option is not supported");
        };
    }

    private Step exportName(MemorySegment data) {
        Optional<NbdExport> export = find(data);
        if (export.isEmpty()) {
            return Step.CLOSE;
        }
        NbdAgreement agreed = agree(export.get());
        replies.u64(agreed.export().disk().sizeBytes());
        replies.u16(agreed.transmissionFlags());
        if (!noZeroes) {
            replies.zeroes(EXPORT_NAME_ZEROES);
        }
        agreement = agreed;
        return Step.TRANSMIT;
    }

    private Step list(MemorySegment data) {
        if (data.byteSize() != 0) {
            return refuse(NbdProtocol.OPT_LIST, NbdProtocol.REP_ERR_INVALID, "this option has no data");
        }
        for (NbdExport export : exports) {
            byte[] name = export.nameBytes();
            byte[] description = export.descriptionBytes();
            replies.header(NbdProtocol.OPT_LIST, NbdProtocol.REP_SERVER, 4 + name.length + description.length);
            replies.u32(name.length);
            replies.bytes(name);
            replies.bytes(description);
        }
        return acknowledge(NbdProtocol.OPT_LIST);
    }

    private Step structuredReply(MemorySegment data) {
        if (data.byteSize() != 0) {
            return refuse(NbdProtocol.OPT_STRUCTURED_REPLY, NbdProtocol.REP_ERR_INVALID, "this option has no data");
        }
        structured = true;
        return acknowledge(NbdProtocol.OPT_STRUCTURED_REPLY);
    }

    /** Name length 32, name, count of requests 16, requests 16 each. */
    private Step infoOrGo(int option, MemorySegment data) {
        long size = data.byteSize();
        long nameBytes = size < 6 ? -1 : Integer.toUnsignedLong(data.get(U32, 0));
        if (nameBytes < 0
                || nameBytes > size - 6
                || size != 6 + nameBytes + 2L * Short.toUnsignedInt(data.get(U16, 4 + nameBytes))) {
            return refuse(option, NbdProtocol.REP_ERR_INVALID, "lengths in this option do not add up");
        }
        Optional<NbdExport> found = find(data.asSlice(4, nameBytes));
        if (found.isEmpty()) {
            return refuse(option, NbdProtocol.REP_ERR_UNKNOWN, "no export of that name");
        }
        NbdAgreement agreed = agree(found.get());
        boolean wantsName = false;
        boolean wantsDescription = false;
        for (long at = 6 + nameBytes; at < size; at += 2) {
            int wanted = Short.toUnsignedInt(data.get(U16, at));
            wantsName |= wanted == NbdProtocol.INFO_NAME;
            wantsDescription |= wanted == NbdProtocol.INFO_DESCRIPTION;
        }
        describe(option, agreed);
        if (wantsName) {
            replies.info(option, NbdProtocol.INFO_NAME, agreed.export().nameBytes());
        }
        if (wantsDescription) {
            replies.info(option, NbdProtocol.INFO_DESCRIPTION, agreed.export().descriptionBytes());
        }
        acknowledge(option);
        if (option == NbdProtocol.OPT_INFO) {
            return Step.SEND;
        }
        agreement = agreed;
        return Step.TRANSMIT;
    }

    /** NBD_INFO_EXPORT, and NBD_INFO_BLOCK_SIZE whether asked for or not, since we insist on the minimum. */
    private void describe(int option, NbdAgreement agreed) {
        int blockBytes = agreed.export().disk().logicalBlockBytes();
        replies.header(option, NbdProtocol.REP_INFO, 12);
        replies.u16(NbdProtocol.INFO_EXPORT);
        replies.u64(agreed.export().disk().sizeBytes());
        replies.u16(agreed.transmissionFlags());
        replies.header(option, NbdProtocol.REP_INFO, 14);
        replies.u16(NbdProtocol.INFO_BLOCK_SIZE);
        replies.u32(blockBytes);
        replies.u32(Math.max(PREFERRED_BLOCK_BYTES, blockBytes));
        replies.u32(NbdProtocol.MAX_PAYLOAD_BYTES);
    }

    /** Name length 32, name, count of queries 32, each query's length 32 and text. */
    private Step metaContext(int option, MemorySegment data) {
        boolean set = option == NbdProtocol.OPT_SET_META_CONTEXT;
        if (set) {
            extentsOf = null; // each SET replaces the one before, even if it fails
        }
        if (!structured) {
            return refuse(option, NbdProtocol.REP_ERR_INVALID, "structured replies come first");
        }
        long size = data.byteSize();
        long nameBytes = size < 8 ? -1 : Integer.toUnsignedLong(data.get(U32, 0));
        if (nameBytes < 0 || nameBytes > size - 8) {
            return refuse(option, NbdProtocol.REP_ERR_INVALID, "lengths in this option do not add up");
        }
        long queries = Integer.toUnsignedLong(data.get(U32, 4 + nameBytes));
        boolean matches = !set && queries == 0;
        long at = 8 + nameBytes;
        // Bounded by the option's size: each query takes at least the 4 bytes of its length.
        for (long query = 0; query < queries; query++) {
            long queryBytes = at + 4 > size ? -1 : Integer.toUnsignedLong(data.get(U32, at));
            if (queryBytes < 0 || queryBytes > size - at - 4) {
                return refuse(option, NbdProtocol.REP_ERR_INVALID, "lengths in this option do not add up");
            }
            String text = text(data.asSlice(at + 4, queryBytes)).orElse("");
            matches |= text.equals(NbdProtocol.BASE_ALLOCATION) || !set && text.equals("base:");
            at += 4 + queryBytes;
        }
        if (at != size) {
            return refuse(option, NbdProtocol.REP_ERR_INVALID, "lengths in this option do not add up");
        }
        Optional<NbdExport> found = find(data.asSlice(4, nameBytes));
        if (found.isEmpty()) {
            return refuse(option, NbdProtocol.REP_ERR_UNKNOWN, "no export of that name");
        }
        if (matches && found.get().disk().knowsExtents()) {
            byte[] context = NbdProtocol.BASE_ALLOCATION.getBytes(StandardCharsets.UTF_8);
            replies.header(option, NbdProtocol.REP_META_CONTEXT, 4 + context.length);
            replies.u32(set ? NbdExtents.CONTEXT_ID : 0);
            replies.bytes(context);
            if (set) {
                extentsOf = found.get();
            }
        }
        return acknowledge(option);
    }

    private NbdAgreement agree(NbdExport export) {
        // A context selected for another export does not count (NBD_OPT_SET_META_CONTEXT).
        return NbdAgreement.of(export, structured, structured && export.equals(extentsOf));
    }

    private Step acknowledge(int option) {
        replies.header(option, NbdProtocol.REP_ACK, 0);
        return Step.SEND;
    }

    private Step refuse(int option, int reply, String message) {
        byte[] words = message.getBytes(StandardCharsets.UTF_8);
        replies.header(option, reply, words.length);
        replies.bytes(words);
        return Step.SEND;
    }

    /** The export of that name; the empty name means the only export there is. */
    private Optional<NbdExport> find(MemorySegment name) {
        Optional<String> wanted = text(name);
        for (NbdExport export : exports) {
            if (wanted.isPresent() && export.name().equals(wanted.get())) {
                return Optional.of(export);
            }
        }
        return name.byteSize() == 0 && exports.size() == 1 ? Optional.of(exports.getFirst()) : Optional.empty();
    }

    /** What a client wrote, if it is UTF-8. */
    private static Optional<String> text(MemorySegment words) {
        try {
            ByteBuffer octets = ByteBuffer.wrap(words.toArray(ValueLayout.JAVA_BYTE));
            return Optional.of(
                    StandardCharsets.UTF_8.newDecoder().decode(octets).toString());
        } catch (CharacterCodingException e) {
            return Optional.empty();
        }
    }
}
