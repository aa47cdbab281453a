package xenback.block.backend;

/** What a backend offers and may have to take back, for the store turns out not to be able to do it. */
enum BlockFeature {
    FLUSH("feature-flush-cache", "feature-barrier"),
    DISCARD("feature-discard");

    private final String[] nodes;

    BlockFeature(String... nodes) {
        this.nodes = nodes;
    }

    /** The keys in the backend's directory that say 1 while it is offered. */
    String[] nodes() {
        return nodes.clone();
    }
}
