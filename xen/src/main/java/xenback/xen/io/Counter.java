package xenback.xen.io;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/** A number that one thread keeps and any thread may read without stopping it. */
public final class Counter {
    private static final VarHandle VALUE;

    static {
        try {
            VALUE = MethodHandles.lookup().findVarHandle(Counter.class, "value", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    @SuppressWarnings("unused") // through VALUE
    private long value;

    /** The owner's side. */
    public void add(long amount) {
        // Opaque is enough: readers need a whole number, some time soon, and no order with anything else.
        VALUE.setOpaque(this, (long) VALUE.get(this) + amount);
    }

    /** The owner's side: for a number that also goes down. */
    public void set(long value) {
        VALUE.setOpaque(this, value);
    }

    /** Any thread. */
    public long value() {
        return (long) VALUE.getOpaque(this);
    }
}
