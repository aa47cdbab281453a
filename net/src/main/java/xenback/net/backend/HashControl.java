package xenback.net.backend;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import xenback.net.protocol.NetControl;
import xenback.net.protocol.NetControl.Answer;
import xenback.net.protocol.NetControl.Message;

/**
 * What the control messages of the hash do (netif.h, messages 1 to 7): from one setting to the next, with nothing of a message
 * taken if it is refused. Where netif.h and Linux' xen-netback differ it is as netif.h says.
 */
final class HashControl {
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final int PAGE_ENTRIES = 1024;

    /** Reads the guest's page of a message. */
    @FunctionalInterface
    interface Pages {
        /** Copies the first bytes of a granted page; false if the grant is refused. */
        boolean read(int gref, MemorySegment into, int bytes);
    }

    private final Pages pages;
    private final MemorySegment page;
    private final int queues;

    /**
     * @param page a place for a page
     * @param queues of the interface
     */
    HashControl(Pages pages, MemorySegment page, int queues) {
        this.pages = pages;
        this.page = page;
        this.queues = queues;
    }

    /** Answers a message and changes the policy accordingly. */
    Answer answer(Message message, NetPolicy policy) {
        HashSetting now = policy.hash();
        return switch (message.type()) {
            case NetControl.GET_HASH_FLAGS ->
                now.algorithm() == NetControl.ALGORITHM_NONE ? Answer.NOT_SUPPORTED : Answer.of(HashSetting.ALL_TYPES);
            case NetControl.SET_HASH_FLAGS -> setFlags(message.a(), now, policy);
            case NetControl.SET_HASH_KEY -> setKey(message.a(), message.b(), now, policy);
            case NetControl.GET_HASH_MAPPING_SIZE -> Answer.of(HashSetting.MOST_ENTRIES);
            case NetControl.SET_HASH_MAPPING_SIZE -> setMappingSize(message.a(), now, policy);
            case NetControl.SET_HASH_MAPPING ->
                setMapping(message.a(), Integer.toUnsignedLong(message.b()), message.c(), now, policy);
            case NetControl.SET_HASH_ALGORITHM -> setAlgorithm(message.a(), now, policy);
            default -> Answer.NOT_SUPPORTED;
        };
    }

    private static Answer setFlags(int flags, HashSetting now, NetPolicy policy) {
        if (now.algorithm() == NetControl.ALGORITHM_NONE || (flags & ~HashSetting.ALL_TYPES) != 0) {
            return Answer.INVALID;
        }
        policy.setHash(now.withTypes(flags));
        return Answer.SUCCESS;
    }

    private static Answer setAlgorithm(int algorithm, HashSetting now, NetPolicy policy) {
        if (algorithm != NetControl.ALGORITHM_NONE && algorithm != NetControl.ALGORITHM_TOEPLITZ) {
            return Answer.INVALID;
        }
        policy.setHash(now.withAlgorithm(algorithm));
        return Answer.SUCCESS;
    }

    private Answer setKey(int gref, int length, HashSetting now, NetPolicy policy) {
        if (Integer.compareUnsigned(length, HashSetting.MOST_KEY_BYTES) > 0) {
            return Answer.OVERFLOW;
        }
        if (length > 0 && !pages.read(gref, page, length)) {
            return Answer.INVALID;
        }
        policy.setHash(now.withKey(page.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE)));
        return Answer.SUCCESS;
    }

    private static Answer setMappingSize(int entries, HashSetting now, NetPolicy policy) {
        if (Integer.compareUnsigned(entries, HashSetting.MOST_ENTRIES) > 0) {
            return Answer.INVALID;
        }
        policy.setHash(now.withMapping(new int[entries]));
        return Answer.SUCCESS;
    }

    /** The sums are in 64 bits (XSA-270). The new table is used only if all of it names queues that there are. */
    private Answer setMapping(int gref, long count, int first, HashSetting now, NetPolicy policy) {
        long offset = Integer.toUnsignedLong(first);
        if (count > PAGE_ENTRIES || offset + count > now.mapping().length) {
            return Answer.INVALID;
        }
        int[] mapping = Arrays.copyOf(now.mapping(), now.mapping().length);
        if (count > 0 && !pages.read(gref, page, (int) count * Integer.BYTES)) {
            return Answer.INVALID;
        }
        for (int i = 0; i < count; i++) {
            int queue = page.get(INT, (long) i * Integer.BYTES);
            if (Integer.compareUnsigned(queue, queues) >= 0) {
                return Answer.INVALID;
            }
            mapping[(int) offset + i] = queue;
        }
        policy.setHash(now.withMapping(mapping));
        return Answer.SUCCESS;
    }
}
