package xenback.xen.bus;

import org.junit.jupiter.api.Test;

/** {@link LifeModel} of a device whose driver does what it is told. */
class LifeModelTest {
    @Test
    void comesThroughWhateverHappensAndServesAgain() {
        LifeModel.of(LifeModelTest.class, LifeDisk::new).check(6_000, 60);
    }
}
