package xenback.xen.bus;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import xenback.xen.store.XenStore;

/** A device with nothing of its own: its driver is scripted, and its rings are numbers. */
final class LifeDisk implements LifeDevice {
    @Override
    public String kind() {
        return "vbd";
    }

    @Override
    public int devid() {
        return 51712;
    }

    @Override
    public Optional<BackendDriver> driver(XenStore store) {
        return Optional.empty();
    }

    @Override
    public Map<String, String> attached() {
        return Map.of();
    }

    @Override
    public SequencedMap<String, String> makeRings() {
        return new LinkedHashMap<>();
    }

    @Override
    public void endRings(boolean crashed) {}

    @Override
    public void perform(Step step, Nodes nodes) {}

    @Override
    public void calm(Nodes nodes) {}

    @Override
    public String faultOfSession(Nodes nodes) {
        return "";
    }

    @Override
    public String faultOfService() {
        return "";
    }

    @Override
    public String leftOver() {
        return "";
    }

    @Override
    public void close() {}
}
