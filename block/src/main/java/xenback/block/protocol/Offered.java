package xenback.block.protocol;

/**
 * Which operations a backend has told its frontend of. Any other is answered with EOPNOTSUPP, upon which Linux' blkfront
 * does without.
 *
 * @param secureDiscard whether the secure flag of a discard counts; else it is ignored (blkif.h, discard-secure)
 * @param indirectSegments most segments of an indirect request, 0 if there are none
 */
public record Offered(boolean flush, boolean barrier, boolean discard, boolean secureDiscard, int indirectSegments) {
    /** Reads and writes alone. */
    public static final Offered NOTHING = new Offered(false, false, false, false, 0);

    public Offered {
        if (indirectSegments < 0 || indirectSegments > BlkifLayout.MAX_INDIRECT_SEGMENTS) {
            throw new IllegalArgumentException(indirectSegments + " segments in an indirect request");
        }
    }
}
