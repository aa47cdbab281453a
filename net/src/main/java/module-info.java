/** The paravirtual network device: xnb, the guest's xn, packets, and the links that frames go to. */
@org.jspecify.annotations.NullMarked
module xenback.net {
    requires static transitive org.jspecify;
    requires transitive xenback.xen;

    exports xenback.net.protocol;
    exports xenback.net.backend;
    exports xenback.net.frontend;
    exports xenback.net.link;
    exports xenback.net.packet;
}
