/** Side-by-side runs against peers. */
@org.jspecify.annotations.NullMarked
module xenback.bench {
    requires static org.jspecify;
    requires jdk.management;
    requires xenback.xen;
    requires xenback.block;
    requires xenback.net;
}
