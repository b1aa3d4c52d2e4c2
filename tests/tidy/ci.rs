//! What continuous integration says of a run that ended before any test.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The results of an earlier run must not be counted for one whose set-up failed.
#[test]
fn a_run_that_fails_in_its_set_up_shows_no_counts_of_another() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for path in [".ci/run", "tools/summary.py"] {
        std::fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        std::fs::copy(repository.join(path), at(path)).unwrap();
    }
    std::fs::create_dir_all(at("target/test-results")).unwrap();
    std::fs::write(at("target/test-results/rust.exit"), "0").unwrap();
    let log = "test result: ok. 700 passed; 0 failed; 0 ignored; 0 measured\n";
    std::fs::write(at("target/test-results/rust.log"), log).unwrap();
    std::fs::write(at("target/skipped-tests.txt"), "one: no disk\n").unwrap();
    // A `make` whose set-up fails.
    std::fs::create_dir(at("bin")).unwrap();
    std::fs::write(at("bin/make"), "#!/bin/sh\nexit 2\n").unwrap();
    std::fs::set_permissions(at("bin/make"), PermissionsExt::from_mode(0o755)).unwrap();

    let path = std::env::var("PATH").unwrap();
    let run = Command::new(at(".ci/run"))
        .env("PATH", format!("{}:{path}", at("bin").display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(said, "0 passed, 1 failed, 0 skipped\n");
    assert!(!run.status.success());
}
