//! Made once, opened ever after, never replaced, never exposed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn open_error(dir: &Path) -> String {
    CertificateAuthority::open(dir).unwrap_err().to_string()
}

#[test]
fn an_authority_is_private_and_opens_as_what_it_was() {
    let (parent, made) = authority(&[]);
    let dir = parent.path().join("tls");
    assert_eq!(mode(&dir), 0o700);
    let mut files: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files, [dir.join("ca.crt"), dir.join("ca.key")]);
    assert!(files.iter().all(|file| mode(file) == 0o600));
    let opened = CertificateAuthority::open(&dir).unwrap();
    assert_eq!(opened.fingerprint(), made.fingerprint());
    assert_eq!(opened.spki_pin(), made.spki_pin());
    assert_eq!(opened.der(), made.der());
}

#[test]
fn an_existing_authority_is_never_replaced() {
    let (parent, made) = authority(&[]);
    let dir = parent.path().join("tls");
    for missing in [None, Some("ca.crt"), Some("ca.key")] {
        if let Some(name) = missing {
            fs::rename(dir.join(name), parent.path().join(name)).unwrap();
        }
        assert!(matches!(authority_in(&dir, &[]), Err(TlsError::Exists(_))));
        if let Some(name) = missing {
            let opened = CertificateAuthority::open(&dir);
            let text = opened.unwrap_err().to_string();
            assert!(
                text.contains(name) && text.contains("restore it from a backup"),
                "{text}"
            );
            fs::rename(parent.path().join(name), dir.join(name)).unwrap();
        }
    }
    assert_eq!(CertificateAuthority::open(&dir).unwrap().der(), made.der());
}

#[test]
fn a_damaged_file_is_named_and_kept() {
    let (parent, _) = authority(&[]);
    let (_other_parent, other) = authority(&[]);
    let dir = parent.path().join("tls");
    let good = fs::read_to_string(dir.join("ca.crt")).unwrap();
    let flipped = good.replacen("MII", "MIJ", 1);
    for bad in ["", "no", &good[..good.len() / 2], &flipped, other.pem()] {
        for name in ["ca.crt", "ca.key"] {
            let whole = fs::read(dir.join(name)).unwrap();
            fs::write(dir.join(name), bad).unwrap();
            let opened = CertificateAuthority::open(&dir);
            let text = opened.unwrap_err().to_string();
            assert!(text.contains("is damaged"), "{name} with {bad:?}: {text}");
            assert!(text.contains("restore it from a backup"), "{text}");
            assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), bad);
            fs::write(dir.join(name), whole).unwrap();
        }
    }
    CertificateAuthority::open(&dir).unwrap();
}

#[test]
fn what_others_can_read_is_refused_with_the_cure() {
    let (parent, _) = authority(&[]);
    let dir = parent.path().join("tls");
    for (path, loose, wanted) in [
        (dir.join("ca.key"), 0o640, 0o600),
        (dir.clone(), 0o755, 0o700),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(loose)).unwrap();
        let text = open_error(&dir);
        assert!(
            text.contains(&format!("`chmod {wanted:o} {}`", path.display())),
            "{text}"
        );
        fs::set_permissions(&path, Permissions::from_mode(wanted)).unwrap();
    }
    CertificateAuthority::open(&dir).unwrap();
}

#[test]
fn no_authority_is_told_apart_from_a_broken_one() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        CertificateAuthority::open(empty.path()),
        Err(TlsError::Absent(_))
    ));
    assert!(open_error(empty.path()).contains("islet new-authority"));
}

/// A run that was cut off while writing left its temporary file.
#[test]
fn a_leftover_temporary_file_is_no_obstacle() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("tls");
    files::private_dir(&dir).unwrap();
    fs::write(dir.join(".ca.key.tmp"), "half").unwrap();
    authority_in(&dir, &[]).unwrap();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
}

#[test]
fn debug_output_holds_no_key() {
    let (parent, made) = authority(&[]);
    let key = fs::read_to_string(parent.path().join("tls/ca.key")).unwrap();
    let line = key.lines().nth(1).unwrap();
    assert!(!format!("{made:?}").contains(line));
    assert!(format!("{made:?}").contains(&made.fingerprint()));
}

#[test]
fn hosts_that_are_none_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    for bad in [
        "",
        "*.local",
        "a b",
        "-x.local",
        "x..y",
        "https://x",
        "x_y.local",
        "é.local",
    ] {
        let made = authority_in(&parent.path().join("tls"), &[bad]);
        assert!(matches!(made, Err(TlsError::BadHost(_))), "{bad:?}");
    }
    assert!(!parent.path().join("tls").exists());
}
