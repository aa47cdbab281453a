package xenback.fuzz;

import java.io.IOException;

/** Something that takes any input and must keep its promises. One thread; the object lives for many inputs. */
public interface FuzzTarget extends AutoCloseable {
    /** Runs one input. Whatever is thrown is a finding. */
    void run(FuzzInput in) throws Exception;

    @Override
    default void close() throws IOException {}

    /** Makes a target, with whatever it needs. */
    @FunctionalInterface
    interface Maker {
        FuzzTarget make() throws Exception;
    }

    /** A promise of the code under test. */
    static void require(boolean holds, String promise) {
        if (!holds) {
            throw new AssertionError(promise);
        }
    }
}
