package xenback.xen.bus;

import java.lang.System.Logger.Level;
import java.util.concurrent.CountDownLatch;

/**
 * The thread of one device: takes a turn when something was posted or its time has come. A virtual one, so that a thousand
 * devices cost no thousand threads and may block in the store; in a model test {@link Pace} takes the turns one by one.
 */
final class Control {
    private static final System.Logger LOG = System.getLogger(Control.class.getName());

    /** A turn's answer: no look without news. */
    static final long NO_ALARM = Long.MAX_VALUE;

    /** A turn's answer: the work is over. */
    static final long OVER = -1;

    /** What is done in turns, one at a time. */
    interface Work {
        /**
         * One turn.
         *
         * @param news what was posted: bits of {@link Mailbox}; 0 if the time has come
         * @return after how many nanoseconds the next turn is due without news, {@link #NO_ALARM} or {@link #OVER}
         */
        long turn(int news);

        /** Called once, when it is over for whatever reason. */
        void end();
    }

    /** Who takes the turns, and when it is. */
    interface Pace {
        /** As {@link System#nanoTime}. */
        long nanoTime();

        /** Sees that the turns are taken from now on. */
        void start(Control control);

        /** Returns when the work is over. */
        void awaitEnd(Control control);
    }

    /** Each control has a virtual thread. */
    static final Pace LIVE = new Pace() {
        @Override
        public long nanoTime() {
            return System.nanoTime();
        }

        @Override
        public void start(Control control) {
            Thread.ofVirtual().name(control.name).start(control::run);
        }

        @Override
        public void awaitEnd(Control control) {
            boolean interrupted = false;
            while (true) {
                try {
                    control.ended.await();
                    break;
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    };

    private final String name;
    private final Work work;
    private final Pace pace;
    private final Mailbox mailbox = new Mailbox();
    private final CountDownLatch ended = new CountDownLatch(1);
    private long alarmNanos = NO_ALARM; // owned by the thread

    Control(String name, Work work, Pace pace) {
        this.name = name;
        this.work = work;
        this.pace = pace;
    }

    void start() {
        pace.start(this);
    }

    /** Any thread, never blocks. */
    void post(int news) {
        mailbox.post(news);
    }

    boolean hasNews() {
        return mailbox.hasNews();
    }

    /** Asks the work to end. Any thread, never blocks. */
    void end() {
        mailbox.post(Mailbox.ENDED);
    }

    void awaitEnd() {
        pace.awaitEnd(this);
    }

    /** Counted down when the work is over. */
    CountDownLatch ended() {
        return ended;
    }

    private void run() {
        boolean going = true;
        while (going) {
            going = turn(mailbox.await(alarmNanos));
        }
    }

    /** The pace's: takes a turn with the news that wait. Returns false when the work is over. */
    boolean turn() {
        return turn(mailbox.take());
    }

    /** The pace's: after how many nanoseconds from the last turn's end another is due without news. */
    long alarmNanos() {
        return alarmNanos;
    }

    private boolean turn(int news) {
        if ((news & Mailbox.ENDED) == 0) {
            try {
                alarmNanos = work.turn(news);
                if (alarmNanos != OVER) {
                    return true;
                }
            } catch (RuntimeException | Error e) {
                LOG.log(Level.ERROR, name + ": a fault of this program", e);
            }
        }
        try {
            work.end();
        } catch (RuntimeException | Error e) {
            LOG.log(Level.ERROR, name + ": a fault of this program at its end", e);
        } finally {
            ended.countDown();
        }
        return false;
    }
}
