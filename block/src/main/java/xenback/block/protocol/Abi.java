package xenback.block.protocol;

import java.util.Optional;

/**
 * How a guest lays out the ring's structs (xen io/protocols.h). A 32-bit x86 guest packs 64-bit fields at multiples of 4, all
 * others at multiples of 8; arm-abi equals the 64-bit layout.
 */
public enum Abi {
    /** That of the machine we run on. */
    NATIVE(System.getProperty("os.arch").equals("aarch64") ? "arm-abi" : "x86_64-abi", BlkifLayout.BITS_64),
    X86_32("x86_32-abi", BlkifLayout.BITS_32),
    X86_64("x86_64-abi", BlkifLayout.BITS_64);

    private final String wireName;
    private final BlkifLayout layout;

    Abi(String wireName, BlkifLayout layout) {
        this.wireName = wireName;
        this.layout = layout;
    }

    /** The value of the frontend's {@code protocol} node. */
    public String wireName() {
        return wireName;
    }

    public BlkifLayout layout() {
        return layout;
    }

    /** The ABI of a {@code protocol} node's value; empty for a name that this machine's guests cannot have. */
    public static Optional<Abi> of(String protocol) {
        for (Abi abi : new Abi[] {X86_32, X86_64, NATIVE}) {
            if (abi.wireName.equals(protocol)) {
                return Optional.of(abi);
            }
        }
        return Optional.empty();
    }

    /**
     * The ABI of a frontend that wrote no {@code protocol}: 32-bit on x86, as Linux (BLKIF_PROTOCOL_DEFAULT), QEMU and tapback
     * have it, because old 32-bit guests write none.
     */
    public static Abi assumed() {
        return NATIVE.wireName.equals(X86_64.wireName) ? X86_32 : NATIVE;
    }
}
