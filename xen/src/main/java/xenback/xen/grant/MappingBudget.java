package xenback.xen.grant;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * How many of guests' pages may stay mapped one by one. Each is a mapping of its own for the kernel, which allows a process so
 * many (vm.max_map_count), threads and heap included: guests together must not use them up, or rings could not be mapped any
 * more and the JVM would end (of the kind of XSA-300). Any thread.
 */
final class MappingBudget {
    private static final Path MOST_MAPPINGS = Path.of("/proc/sys/vm/max_map_count");
    private static final int USUAL_MAPPINGS = 65_530;

    /** Half of what this process may have. */
    static final MappingBudget PROCESS = new MappingBudget(mostMappings() / 2);

    private final AtomicInteger left;

    MappingBudget(int pages) {
        left = new AtomicInteger(pages);
    }

    private static int mostMappings() {
        // By a buffer: such a file gives a number at its beginning alone, and of a first read of one byte a digit.
        try (BufferedReader file = Files.newBufferedReader(MOST_MAPPINGS)) {
            return Integer.parseInt(file.readLine());
        } catch (IOException | NumberFormatException e) {
            return USUAL_MAPPINGS;
        }
    }

    /** Takes one; false if there is none. */
    boolean take() {
        int now;
        do {
            now = left.get();
            if (now == 0) {
                return false;
            }
        } while (!left.compareAndSet(now, now - 1));
        return true;
    }

    void give(int pages) {
        left.addAndGet(pages);
    }
}
