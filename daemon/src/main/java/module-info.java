/** The program: devices by configuration and by xenstore, and the command line. */
@org.jspecify.annotations.NullMarked
module xenback.daemon {
    requires static org.jspecify;
    requires xenback.xen;
    requires xenback.block;
    requires xenback.net;
    requires info.picocli;
    requires java.logging;

    opens xenback.daemon to
            info.picocli;
}
