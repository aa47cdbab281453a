package xenback.xen.grant;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;

/** How many pages all guests together may take of what the kernel gives to a process or to a domain. Any thread. */
public final class PageBudget {
    private final AtomicInteger left;

    PageBudget(int pages) {
        left = new AtomicInteger(pages);
    }

    /**
     * Half of the number of pages that a file of the kernel begins with: the other half is for whatever else needs some.
     *
     * @param usual the number where there is no such file
     */
    public static PageBudget halfOf(Path file, int usual) {
        return new PageBudget(read(file, usual) / 2);
    }

    private static int read(Path path, int usual) {
        // By a buffer: of a first read of one byte, a file of /proc/sys gives a digit and no more.
        try (BufferedReader file = Files.newBufferedReader(path)) {
            return Integer.parseInt(file.readLine());
        } catch (IOException | NumberFormatException e) {
            return usual;
        }
    }

    /** Takes so many; false, and none, if there are fewer. */
    public boolean take(int pages) {
        int now;
        do {
            now = left.get();
            if (now < pages) {
                return false;
            }
        } while (!left.compareAndSet(now, now - pages));
        return true;
    }

    /** Gives back what was taken. */
    public void give(int pages) {
        left.addAndGet(pages);
    }
}
