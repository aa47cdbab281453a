package xenback.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import xenback.block.protocol.Vdev;

final class DiskSpecTest {
    private static final DiskSpec PLAIN = new DiskSpec(
            Path.of("disk.img"),
            DiskFormat.RAW,
            new Vdev(51712),
            false,
            DeviceType.DISK,
            true,
            1,
            CachePolicy.BUFFERED,
            false);

    @ParameterizedTest
    @ValueSource(
            strings = {
                "disk.img,raw,xvda,w",
                "disk.img,raw,xvda,rw",
                "disk.img,raw,xvda",
                "disk.img,,xvda",
                "disk.img,,xvda,",
                " disk.img , raw , xvda , w ",
                "disk.img,raw,51712,w",
                "disk.img,raw,d0p0,w",
                "disk.img,vdev=xvda",
                "vdev=xvda,disk.img",
                "vdev=xvda, target=disk.img",
                "format=raw,vdev=xvda,access=w,target=disk.img",
                "raw:disk.img,,xvda",
                "file:disk.img,raw,xvda",
                "phy:disk.img,,xvda,w",
                "disk.img,raw,xvda,w,devtype=disk",
                "disk.img,raw,xvda,w,discard",
                "disk.img,raw,xvda,w,direct-io-safe",
                "disk.img,raw,xvda,w,guest=1,cache=buffered,sector-size=512",
            })
    void readsTheSameDiskInEveryWayOfWriting(String text) throws UserError {
        assertThat(DiskSpec.parse(text)).isEqualTo(PLAIN);
    }

    @Test
    void takesTheNullDiskForNoPath() throws UserError {
        DiskSpec nothing = DiskSpec.parse("null:1G,,xvda");
        assertThat(nothing.isNull()).isTrue();
        assertThat(nothing.params()).isEqualTo("null:1G");
        assertThat(DiskSpec.parse("./null:1G,,xvda").isNull()).isFalse();
        assertThat(PLAIN.params())
                .isEqualTo(Path.of("disk.img").toAbsolutePath().toString());
    }

    @Test
    void readsEveryValue() throws UserError {
        assertThat(DiskSpec.parse(
                        "/dev/sdb,raw,hda1,ro,devtype=cdrom,discard,guest=32751,cache=direct,sector-size=own"))
                .isEqualTo(new DiskSpec(
                        Path.of("/dev/sdb"),
                        DiskFormat.RAW,
                        new Vdev(769),
                        true,
                        DeviceType.CDROM,
                        true,
                        0x7FEF,
                        CachePolicy.DIRECT,
                        true));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "disk.iso,,hdc,cdrom",
                "disk.iso,,hdc,,cdrom",
                "disk.iso,raw,hdc,devtype=cdrom",
                "format=raw, vdev=hdc, access=ro, devtype=cdrom, target=disk.iso",
            })
    void aCdromIsReadOnlyInEveryWayOfWriting(String text) throws UserError {
        DiskSpec disk = DiskSpec.parse(text);

        assertThat(disk.type()).isEqualTo(DeviceType.CDROM);
        assertThat(disk.readOnly()).isTrue();
        assertThat(disk.discard()).isFalse();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "disk.img,raw,xvda,w            | true",
                "disk.img,raw,xvda,r            | false",
                "disk.img,raw,xvda,w,no-discard | false",
                "disk.img,raw,xvda,w,discard    | true",
            })
    void offersDiscardOfWhatCanBeWrittenUnlessTold(String text, boolean discard) throws UserError {
        assertThat(DiskSpec.parse(text).discard()).isEqualTo(discard);
    }

    @Test
    void takesTheRestAsTargetWithItsCommasAndBlanks() throws UserError {
        DiskSpec disk = DiskSpec.parse("vdev=xvda,target=/a,b=c, access=r.img");

        assertThat(disk.target()).isEqualTo(Path.of("/a,b=c, access=r.img"));
        assertThat(disk.readOnly()).isFalse();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '"',
            value = {
                "\"\"                        | no target; write it as disk.img,raw,xvda,w",
                ",raw,xvda                   | no target; write it as disk.img,raw,xvda,w",
                "disk.img                    | no vdev; write it as disk.img,raw,xvda,w",
                "disk.img,raw                | no vdev; write it as disk.img,raw,xvda,w",
                "disk.img,raw,vda            | bad vdev 'vda'; write it as xvda, xvda1, sdb, hda1, d0p1, or a number such as 51712",
                "disk.img,raw,xvda,x         | bad access 'x'; known: r, ro, w, rw",
                "disk.img,raw,xvda,w,more    | 'more' is one too many after target,format,vdev,access",
                "disk.img,raw,xvda,vdev=xvdb | vdev is given twice",
                "raw:disk.img,raw,xvda       | format is given twice",
                "disk.img,raw,xvda,guest=0   | bad guest '0'; it is a domain's number, 1 to 32751",
                "disk.img,raw,xvda,guest=32752 | bad guest '32752'; it is a domain's number, 1 to 32751",
                "disk.img,raw,xvda,guest=-1  | bad guest '-1'; it is a domain's number, 1 to 32751",
                "disk.img,raw,xvda,cache=x   | bad cache 'x'; known: buffered, direct",
                "disk.img,qcow2,xvda         | unknown disk format 'qcow2'; known: raw (convert others with: qemu-img convert -O raw FROM TO)",
                "qcow2:disk.img,,xvda        | unknown disk format 'qcow2'; known: raw (convert others with: qemu-img convert -O raw FROM TO)",
                "disk.img,raw,xvda,devtype=x | bad devtype 'x'; known: disk, cdrom",
                "disk.img,raw,xvda,devtype=disk,cdrom | devtype is given twice",
                "disk.img,raw,xvda,w,cdrom   | a cdrom is never written; leave out access, or write it as r",
                "disk.img,raw,xvda,discard,no-discard | discard is given twice",
                "disk.img,raw,xvda,sector-size=4096 | bad sector-size '4096'; known: 512, own",
                "disk.img,raw,xvda,script=x  | script= is for a toolstack that chooses a backend; xenback is the backend, leave it out",
                "disk.img,raw,xvda,backend=d | backend= is for a toolstack that chooses a backend; xenback is the backend, leave it out",
                "disk.img,raw,xvda,backendtype=phy | backendtype= is for a toolstack that chooses a backend; xenback is the backend, leave it out",
                "a=b.img,raw,xvda            | unknown key 'a'; known: target, format, vdev, access, devtype, guest, cache, sector-size (a path with '=' goes last, as target=PATH)",
            })
    void saysWhatIsWrong(String text, String message) {
        assertThatThrownBy(() -> DiskSpec.parse(text))
                .isInstanceOfSatisfying(
                        UserError.class, error -> assertThat(error.exitCode()).isEqualTo(ExitCode.USAGE))
                .hasMessage("--disk " + text + ": " + message);
    }

    @Test
    void refusesATargetThatCannotBeAPath() {
        assertThatThrownBy(() -> DiskSpec.parse("a\0b,raw,xvda"))
                .isInstanceOf(UserError.class)
                .hasMessageContaining("cannot be a path");
    }
}
