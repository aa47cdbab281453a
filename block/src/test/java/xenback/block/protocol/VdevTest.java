package xenback.block.protocol;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class VdevTest {
    @ParameterizedTest
    @CsvSource({
        "xvda, 51712",
        "xvda1, 51713",
        "xvda15, 51727",
        "xvdb, 51728",
        "xvdp, 51952",
        "xvdp15, 51967",
        "xvda16, 268435472",
        "xvdp255, 268439551",
        "xvdq, 268439552",
        "xvdz, 268441856",
        "xvdaa, 268442112",
        "xvdzz, 268614912",
        "xvdaaa, 268615168",
        "xvdbgqcv, 536870656",
        "xvdbgqcv255, 536870911",
        "sda, 2048",
        "sdb, 2064",
        "sdp15, 2303",
        "hda, 768",
        "hda1, 769",
        "hda63, 831",
        "hdb, 832",
        "hdb63, 895",
        "hdc, 5632",
        "hdd, 5696",
        "hde, 8448",
        "hdg, 8704",
        "hdi, 14336",
        "hdk, 14592",
        "hdm, 22528",
        "hdo, 22784",
        "hdq, 23040",
        "hds, 23296",
        "hdt63, 23423",
    })
    void encodesAndDecodesTheNamesOfEveryRange(String name, int number) {
        assertThat(Vdev.parse(name)).contains(new Vdev(number));
        assertThat(new Vdev(number).name()).isEqualTo(name);
    }

    @ParameterizedTest
    @CsvSource({
        "d0p0, xvda",
        "d0p1, xvda1",
        "d15p15, xvdp15",
        "d16p0, xvdq",
        "d0p16, xvda16",
        "d1048575p255, xvdbgqcv255",
        "0x301, hda1",
        "0X301, hda1",
        "769, hda1",
        "51712, xvda",
        "0xCA00, xvda",
    })
    void readsTheGenericFormAndNumbers(String text, String name) {
        assertThat(Vdev.parse(text).orElseThrow().name()).isEqualTo(name);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "xvd",
                "xvd1",
                "xvda0",
                "xvda01",
                "xvda256",
                "xvdbgqcw",
                "xvdzzzzz",
                "xvdaaaaaa",
                "XVDA",
                "xvdA",
                "xvda ",
                " xvda",
                "xvda-1",
                "xvda1p",
                "/dev/xvda",
                "sdq",
                "sda16",
                "sdaa",
                "hdu",
                "hda64",
                "hdaa",
                "vda",
                "d0",
                "d0p",
                "p1",
                "d00p1",
                "d0p01",
                "d1048576p0",
                "d0p256",
                "d99999999p0",
                "-1",
                "+1",
                "007",
                "1.0",
                "2147483648",
                "4294967296",
                "99999999999999999999",
                "0x",
                "0x80000000",
                "0x100000000",
                "0xg",
                "x301",
                "\u0661",
            })
    void refusesWhatNamesNoDisk(String text) {
        assertThat(Vdev.parse(text)).isEmpty();
    }

    @Test
    void givesEveryShortNumberBackFromItsName() {
        for (int number = 0; number < 1 << 16; number++) {
            assertRoundTrip(number);
        }
    }

    @Test
    void givesEveryExtendedDiskBackFromItsName() {
        int[] partitions = {0, 1, 15, 16, 255};
        for (int disk = 0; disk < 1 << 20; disk++) {
            assertRoundTrip((1 << 28) | (disk << 8) | partitions[disk % partitions.length]);
        }
        for (int low = 0; low < 1 << 16; low++) {
            assertRoundTrip((1 << 28) | low);
        }
    }

    @Test
    void givesNumbersOfNoRangeBackAsDigits() {
        for (int number : List.of(0, 1 << 16, (1 << 28) - 1, 1 << 29, 3 << 28, 1 << 30, Integer.MAX_VALUE)) {
            assertThat(new Vdev(number).name()).isEqualTo(Integer.toString(number));
        }
        long seed = System.nanoTime();
        var random = new Random(seed);
        for (int i = 0; i < 100_000; i++) {
            int number = random.nextInt() & Integer.MAX_VALUE;
            assertThat(Vdev.parse(new Vdev(number).name())).as("seed %d", seed).contains(new Vdev(number));
        }
    }

    @Test
    void doesNotCallTheExtendedFormOfAShortDiskByTheShortName() {
        assertThat(new Vdev(1 << 28).name()).isEqualTo("268435456");
        assertThat(new Vdev((1 << 28) | (15 << 8) | 15).name()).isEqualTo("268439311");
    }

    @Test
    void keepsIdeMinorsBeyondTheSecondDiskAsDigits() {
        assertThat(new Vdev((3 << 8) | 127).name()).isEqualTo("hdb63");
        assertThat(new Vdev((3 << 8) | 128).name()).isEqualTo("896");
    }

    @Test
    void refusesNegativeNumbers() {
        assertThatThrownBy(() -> new Vdev(-1)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void sortsByNumber() {
        assertThat(new Vdev(769)).isLessThan(new Vdev(51712));
    }

    private static void assertRoundTrip(int number) {
        String name = new Vdev(number).name();
        if (Vdev.parse(name).orElseThrow().number() != number) {
            throw new AssertionError(number + " is called " + name);
        }
    }
}
