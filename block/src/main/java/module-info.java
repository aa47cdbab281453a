/** The paravirtual block device: xbdback, the guest's xbd, the disks behind them, and NBD. */
@org.jspecify.annotations.NullMarked
module xenback.block {
    requires static transitive org.jspecify;
    requires transitive xenback.xen;

    exports xenback.block.protocol;
    exports xenback.block.backend;
    exports xenback.block.frontend;
    exports xenback.block.disk;
    exports xenback.block.nbd;
}
