package xenback.net.frontend;

import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;

/** What xn makes use of. */
public record XnOptions(Set<XnFeature> features) {
    public XnOptions {
        features = Set.copyOf(features);
    }

    /** What an ordinary guest uses: all but what serves its own purposes only. */
    public static XnOptions usual() {
        return new XnOptions(
                EnumSet.complementOf(EnumSet.of(XnFeature.HASH, XnFeature.XDP_HEADROOM, XnFeature.STAGED_GRANTS)));
    }

    /** Nothing beyond the first version of the protocol, as GNU Mach or mini-os. */
    public static XnOptions plain() {
        return new XnOptions(Set.of());
    }

    boolean uses(XnFeature feature) {
        return features.contains(feature);
    }

    public XnOptions with(XnFeature... wanted) {
        Set<XnFeature> all = EnumSet.noneOf(XnFeature.class);
        all.addAll(features);
        all.addAll(Arrays.asList(wanted));
        return new XnOptions(all);
    }

    public XnOptions without(XnFeature... unwanted) {
        Set<XnFeature> rest = EnumSet.noneOf(XnFeature.class);
        rest.addAll(features);
        rest.removeAll(Arrays.asList(unwanted));
        return new XnOptions(rest);
    }
}
