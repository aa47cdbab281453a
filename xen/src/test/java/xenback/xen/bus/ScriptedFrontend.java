package xenback.xen.bus;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.function.IntPredicate;
import java.util.function.IntSupplier;
import java.util.function.Supplier;

/** A frontend driver that numbers its rings and objects to calls out of order. */
final class ScriptedFrontend implements FrontendDriver {
    final List<String> faults = new ArrayList<>();

    private final IntSupplier numbers;
    private final IntPredicate inUse;
    private final Supplier<SequencedMap<String, String>> maker;
    private final Runnable ender;
    private int ring;
    private boolean prepared;
    private boolean attached;

    ScriptedFrontend(IntSupplier numbers, IntPredicate inUse) {
        this(numbers, inUse, LinkedHashMap::new, () -> {});
    }

    /**
     * The frontend of one life of a guest.
     *
     * @param numbers gives each ring its number
     * @param inUse whether the backend has the ring of that number mapped, so that it may not be taken back
     * @param maker makes what rings are besides their number, and returns the nodes that tell of it
     * @param ender takes it back
     */
    ScriptedFrontend(
            IntSupplier numbers, IntPredicate inUse, Supplier<SequencedMap<String, String>> maker, Runnable ender) {
        this.numbers = numbers;
        this.inUse = inUse;
        this.maker = maker;
        this.ender = ender;
    }

    private void check(boolean good, String fault) {
        if (!good) {
            faults.add(fault);
        }
    }

    @Override
    public Instance probe(Address address) {
        return new Instance() {
            @Override
            public SequencedMap<String, String> prepare() {
                check(!prepared, "prepares twice");
                prepared = true;
                ring = numbers.getAsInt();
                SequencedMap<String, String> nodes = maker.get();
                nodes.put("ring-ref", Integer.toString(ring));
                return nodes;
            }

            @Override
            public void attach() {
                check(prepared && !attached, "attaches out of order");
                attached = true;
            }

            @Override
            public void refresh() {
                check(attached, "refreshes what is not attached");
            }

            @Override
            public void detach() {
                check(attached, "detaches out of order");
                attached = false;
            }

            @Override
            public void release() {
                check(prepared && !attached, "releases out of order");
                check(!inUse.test(ring), "takes its pages back while the backend uses them");
                ender.run();
                prepared = false;
            }
        };
    }
}
