package xenback.net.backend;

import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Fields of frames. */
final class NetworkOrder {
    static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private NetworkOrder() {}
}
