package xenback.net.backend;

import java.util.HexFormat;
import java.util.List;
import xenback.net.protocol.NetControl;

/**
 * How a guest wants its frames hashed and spread over its queues; immutable, replaced as a whole.
 *
 * @param algorithm of {@link NetControl}
 * @param types mask of what is hashed, see Toeplitz
 * @param key the bytes that were set, at most 40
 * @param mapping queue by hash modulo its length; empty: the hash modulo the number of queues
 */
@SuppressWarnings("ArrayRecordComponent") // nobody compares them, and nobody else has the arrays
record HashSetting(int algorithm, int types, byte[] key, int[] mapping) {
    static final HashSetting NONE = new HashSetting(NetControl.ALGORITHM_NONE, 0, new byte[0], new int[0]);

    static final int ALL_TYPES = 15;

    /** By bit, as netif.h names them (XEN_NETIF_CTRL_HASH_TYPE_). */
    private static final List<String> FLAGS = List.of("ipv4", "ipv4_tcp", "ipv6", "ipv6_tcp");

    static final int MOST_KEY_BYTES = 40;
    static final int MOST_ENTRIES = 128;

    boolean hashes() {
        return algorithm == NetControl.ALGORITHM_TOEPLITZ && types != 0;
    }

    int queueOf(int hash, int queues) {
        return mapping.length == 0
                ? Integer.remainderUnsigned(hash, queues)
                : mapping[Integer.remainderUnsigned(hash, mapping.length)];
    }

    HashSetting withAlgorithm(int other) {
        return new HashSetting(other, types, key, mapping);
    }

    HashSetting withTypes(int other) {
        return new HashSetting(algorithm, other, key, mapping);
    }

    HashSetting withKey(byte[] other) {
        return new HashSetting(algorithm, types, other, mapping);
    }

    HashSetting withMapping(int[] other) {
        return new HashSetting(algorithm, types, key, other);
    }

    /** For a person: a line each for algorithm, flags, key and mapping (the debugfs file {@code ctrl} of Linux' xen-netback). */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        text.append("hash algorithm ").append(algorithm == NetControl.ALGORITHM_TOEPLITZ ? "toeplitz" : "none");
        text.append("\nhash flags");
        for (int bit = 0; bit < FLAGS.size(); bit++) {
            text.append((types >> bit & 1) != 0 ? " " + FLAGS.get(bit) : "");
        }
        text.append(types == 0 ? " none" : "");
        text.append("\nhash key ")
                .append(key.length == 0 ? "none" : HexFormat.of().formatHex(key));
        text.append("\nhash mapping");
        for (int queue : mapping) {
            text.append(' ').append(queue);
        }
        return text.append(mapping.length == 0 ? " none" : "").toString();
    }
}
