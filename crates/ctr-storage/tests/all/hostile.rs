//! The hostile inputs H1-H12: nothing outside the root is touched, nothing hangs, every refusal names the entry.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use ctr_storage::archive::apply::Limits;

use crate::tarball::{Header, Sandbox, Tarball};

#[test]
fn root_h01_names_that_climb_out_are_refused_and_absolute_ones_stay_inside() {
    for name in ["../../x", "a/../../x", "a/..", "..", "/../x"] {
        Sandbox::new().refuse(&Tarball::default().file(name, b"x").end(), name);
    }
    let pax = Tarball::default()
        .pax(&[("path", b"../evil")])
        .file("ok", b"x")
        .end();
    Sandbox::new().refuse(&pax, "../evil");
    let sandbox = Sandbox::new();
    sandbox
        .apply(
            &Tarball::default()
                .file("/etc/x", b"in")
                .file("./y//z", b"in")
                .end(),
        )
        .unwrap();
    assert_eq!(
        (sandbox.read("etc/x"), sandbox.read("y/z")),
        ("in".into(), "in".into())
    );
}

#[test]
fn root_h02_a_file_through_a_symlink_stays_inside() {
    let sandbox = Sandbox::new();
    let outside = sandbox.outside();
    for target in [
        outside.as_str(),
        "../outside",
        "/",
        "/proc/self/root",
        "/nowhere",
    ] {
        let sandbox = Sandbox::new();
        let tar = Tarball::default()
            .symlink("evil", target)
            .file("evil/secret", b"x")
            .end();
        match sandbox.apply(&tar) {
            // `/` is the root itself.
            Ok(_) => assert_eq!((target, sandbox.read("secret")), ("/", "x".into())),
            Err(error) => assert!(error.to_string().contains("evil/secret"), "{error}"),
        }
    }
    // A symlink that leads somewhere inside is followed there, absolute or not.
    let tar = Tarball::default()
        .dir("run")
        .symlink("var-run", "/run")
        .file("var-run/pid", b"1")
        .end();
    sandbox.apply(&tar).unwrap();
    assert_eq!(sandbox.read("run/pid"), "1");
}

#[test]
fn root_h03_hard_links_to_elsewhere_are_refused() {
    let sandbox = Sandbox::new();
    let absolute = format!("{}/secret", sandbox.outside());
    for target in [
        "/etc/passwd",
        absolute.as_str(),
        "missing",
        "../outside/secret",
    ] {
        Sandbox::new().refuse(&Tarball::default().hardlink("h", target).end(), "h");
    }
    let through = Tarball::default()
        .symlink("s", &sandbox.outside())
        .hardlink("h", "s/secret")
        .end();
    sandbox.refuse(&through, "h");
    Sandbox::new().refuse(&Tarball::default().dir("d").hardlink("h", "d").end(), "h");
    Sandbox::new().refuse(
        &Tarball::default().file("h", b"x").hardlink("h", "h").end(),
        "h",
    );
    // A hard link to a symlink is one to the symlink, not to where it leads.
    let sandbox = Sandbox::new();
    let secret = format!("{}/secret", sandbox.outside());
    sandbox
        .apply(
            &Tarball::default()
                .symlink("s", &secret)
                .hardlink("h", "s")
                .end(),
        )
        .unwrap();
    assert!(sandbox.path("h").symlink_metadata().unwrap().is_symlink());
}

#[test]
fn root_h04_a_directory_over_a_symlink_does_not_touch_where_it_leads() {
    let sandbox = Sandbox::new();
    let target = format!("{}/dir", sandbox.outside());
    let evil = Header::new(b'5', b"d", 0).put(100, b"0007777\0");
    sandbox
        .apply(
            &Tarball::default()
                .symlink("d", &target)
                .raw(evil, b"")
                .end(),
        )
        .unwrap();
    let made = sandbox.path("d").symlink_metadata().unwrap();
    assert!(made.is_dir());
    assert_eq!(made.permissions().mode() & 0o7777, 0o7777);
}

#[test]
fn root_h05_whiteouts_delete_nothing_outside() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh.."] {
        Sandbox::new().refuse(&Tarball::default().file(name, b"").end(), name);
    }
    let sandbox = Sandbox::new();
    let tar = Tarball::default()
        .symlink("s", &sandbox.outside())
        .file("s/.wh.secret", b"")
        .end();
    sandbox.refuse(&tar, "s/.wh.secret");
    let sandbox = Sandbox::new();
    sandbox
        .apply(
            &Tarball::default()
                .file(".wh.gone", b"")
                .file(".wh..wh.plnk", b"")
                .end(),
        )
        .unwrap();
    let made = sandbox.path("gone").symlink_metadata().unwrap();
    assert_eq!((made.rdev(), made.mode() & 0o170_000), (0, 0o020_000));
    assert!(!sandbox.path(".wh..wh.plnk").exists());
}

#[test]
fn root_h06_devices_and_set_id_bits_are_content_and_owners_have_bounds() {
    let sandbox = Sandbox::new();
    let device = Header::new(b'3', b"null", 0)
        .put(329, b"0000001\0")
        .put(337, b"0000003\0");
    let suid = Header::new(b'0', b"su", 0)
        .put(100, b"0004755\0")
        .put(108, b"0001750\0");
    let tar = Tarball::default().raw(device, b"").raw(suid, b"").end();
    sandbox.apply(&tar).unwrap();
    assert_eq!(
        sandbox.path("null").symlink_metadata().unwrap().rdev(),
        rustix::fs::makedev(1, 3)
    );
    let made = sandbox.path("su").symlink_metadata().unwrap();
    assert_eq!((made.mode() & 0o7777, made.uid()), (0o4755, 1000));
    for uid in [
        &b"4294967296"[..],
        b"4294967295",
        b"-1",
        b"18446744073709551616",
    ] {
        let tar = Tarball::default().pax(&[("uid", uid)]).file("f", b"").end();
        Sandbox::new().refuse(&tar, "f");
    }
    let injected = Tarball::default()
        .raw(Header::new(b'3', b"w", 0), b"")
        .end();
    Sandbox::new().refuse(&injected, "w");
}

#[test]
fn root_h07_the_pax_size_wins_so_nothing_can_be_smuggled() {
    // The header says 0 bytes, PAX says 512: a reader that believes the header sees the content as an entry.
    let hidden = Header::new(b'0', b"smuggled", 0).bytes();
    let sandbox = Sandbox::new();
    let size = Tarball::default().pax(&[("size", b"512")]);
    let tar = size.raw(Header::new(b'0', b"f", 0), &hidden).end();
    sandbox.apply(&tar).unwrap();
    assert!(!sandbox.path("smuggled").exists());
    assert_eq!(std::fs::read(sandbox.path("f")).unwrap(), hidden);
    // A PAX size for a long-name header, or two PAX headers, mean different things to different readers.
    let size = Tarball::default().pax(&[("size", b"512")]);
    let long = Header::new(b'L', b"././@LongLink", 5);
    Sandbox::new()
        .apply(&size.raw(long, b"other").file("f", b"").end())
        .unwrap_err();
    let twice = Tarball::default()
        .pax(&[("mtime", b"1")])
        .pax(&[("size", b"1")])
        .file("f", b"x");
    Sandbox::new().apply(&twice.end()).unwrap_err();
    let repeated = Tarball::default()
        .pax(&[("size", b"1"), ("size", b"2")])
        .file("f", b"x");
    Sandbox::new().apply(&repeated.end()).unwrap_err();
    let global = Tarball::default()
        .extension(b'g', &[("size", b"1")])
        .file("f", b"x");
    Sandbox::new().apply(&global.end()).unwrap_err();
}

#[test]
fn root_h08_absurd_sizes_bad_checksums_and_truncation_are_refused() {
    let base256 = |bytes: [u8; 12]| Header::new(b'0', b"f", 0).put(124, &bytes);
    let huge = base256([0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
    let negative = base256([255; 12]);
    let beyond = base256([0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let letters = Header::new(b'0', b"f", 0).put(124, b"0000000000x\0");
    for header in [huge, negative, beyond, letters] {
        Sandbox::new().refuse(&Tarball::default().raw(header, b"").end(), "f");
    }
    let mut wrong = Tarball::default().file("f", b"x").end();
    wrong[0] = b'g';
    assert!(Sandbox::new().refuse(&wrong, "").contains("checksum"));
    let whole = Tarball::default().file("f", &[b'x'; 2000]).end();
    for length in [1, 511, 513, 1000, 2559, 2560 + 511, 2560 + 513] {
        let error = Sandbox::new().apply(&whole[..length]).unwrap_err();
        assert!(
            std::error::Error::source(&error).is_some() || length > 2560,
            "{length}: {error}"
        );
    }
    Sandbox::new().apply(b"").unwrap_err();
    let garbage: Vec<u8> = (0..2048_u32)
        .map(|n| u8::try_from(n * 7 % 251).unwrap())
        .collect();
    Sandbox::new().apply(&garbage).unwrap_err();
    let mut gap = vec![0; 512];
    gap.extend(Tarball::default().file("f", b"x").end());
    Sandbox::new().apply(&gap).unwrap_err();
}

#[test]
fn root_h09_long_names_and_nul_bytes_are_refused() {
    let long = "a/".repeat(50_000);
    let tar = Tarball::default()
        .pax(&[("path", long.as_bytes())])
        .file("f", b"")
        .end();
    assert!(Sandbox::new().apply(&tar).is_err());
    let component = "n".repeat(256);
    let tar = Tarball::default()
        .pax(&[("path", component.as_bytes())])
        .file("f", b"")
        .end();
    Sandbox::new().refuse(&tar, &component);
    let tar = Tarball::default()
        .pax(&[("path", b"a\0b")])
        .file("f", b"")
        .end();
    assert!(
        Sandbox::new()
            .apply(&tar)
            .unwrap_err()
            .to_string()
            .contains("NUL")
    );
    // As long as allowed works.
    let sandbox = Sandbox::new();
    let name = format!("{}/{}", "d".repeat(255), "n".repeat(255));
    sandbox
        .apply(
            &Tarball::default()
                .pax(&[("path", name.as_bytes())])
                .file("f", b"x")
                .end(),
        )
        .unwrap();
    assert_eq!(sandbox.read(&name), "x");
}

#[test]
fn root_h10_the_last_of_several_wins_and_the_root_stays() {
    let sandbox = Sandbox::new();
    let before = sandbox.root.metadata().unwrap().ino();
    let tar = Tarball::default()
        .file("n", b"1")
        .dir("n")
        .file("n/inner", b"2")
        .symlink("n", "elsewhere")
        .file("n", b"last")
        .dir("./")
        .dir(".")
        .end();
    sandbox.apply(&tar).unwrap();
    assert_eq!(sandbox.read("n"), "last");
    assert_eq!(sandbox.root.metadata().unwrap().ino(), before);
    Sandbox::new().refuse(&Tarball::default().file("./", b"").end(), "./");
    Sandbox::new().refuse(&Tarball::default().symlink("/", "x").end(), "/");
    Sandbox::new().refuse(
        &Tarball::default().file("f", b"").file("f/x", b"").end(),
        "f/x",
    );
}

#[test]
fn root_h11_overlayfs_own_attributes_are_dropped_and_others_kept() {
    let sandbox = Sandbox::new();
    let tar = Tarball::default()
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.mine", b"1"),
        ])
        .dir("d")
        .end();
    sandbox.apply(&tar).unwrap();
    let mut buffer = [0_u8; 256];
    let length = rustix::fs::llistxattr(sandbox.path("d"), &mut buffer).unwrap();
    let names = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(names.contains("trusted.mine"), "{names}");
    assert!(!names.contains("overlay"), "{names}");
    let many: Vec<(String, &[u8])> = (0..65)
        .map(|n| (format!("SCHILY.xattr.user.x{n}"), &b"v"[..]))
        .collect();
    let many: Vec<(&str, &[u8])> = many
        .iter()
        .map(|(key, value)| (key.as_str(), *value))
        .collect();
    Sandbox::new().refuse(&Tarball::default().pax(&many).file("f", b"").end(), "f");
}

#[test]
fn root_h12_oversized_headers_and_archives_are_refused() {
    let header = Header::new(b'x', b"pax", 64 << 20);
    let error = Sandbox::new()
        .apply(&Tarball::default().raw(header, b"").end())
        .unwrap_err();
    assert!(error.to_string().contains("1 MiB"), "{error}");
    let mut many = Tarball::default();
    for number in 0..20 {
        many = many.file(&format!("f{number}"), b"0123456789");
    }
    let many = many.end();
    let limits = Limits {
        entries: 10,
        bytes: None,
    };
    let error = Sandbox::new().apply_limited(&many, &limits).unwrap_err();
    assert!(error.to_string().contains("\"f10\""), "{error}");
    let limits = Limits {
        entries: 100,
        bytes: Some(100),
    };
    let error = Sandbox::new().apply_limited(&many, &limits).unwrap_err();
    assert!(error.to_string().contains("\"f10\""), "{error}");
}

#[test]
fn root_unknown_types_and_content_on_links_are_refused() {
    Sandbox::new().refuse(
        &Tarball::default()
            .raw(Header::new(b'Z', b"f", 0), b"")
            .end(),
        "f",
    );
    let link = Header::new(b'2', b"l", 3).link(b"t");
    Sandbox::new().refuse(&Tarball::default().raw(link, b"abc").end(), "l");
    Sandbox::new().refuse(&Tarball::default().symlink("l", "").end(), "l");
}
