//! The files that the rules look at, read once per rule: from the repository, or made up.

use std::collections::BTreeSet;
use std::path::Path;

use super::scan;

/// Directories and files that are not sources: made by tools, or by running the program.
const NOT_OURS: [&str; 8] = [
    ".git",
    "target",
    ".venv",
    ".tools",
    "node_modules",
    "demo-data",
    "__pycache__",
    ".hypothesis",
];

/// One file.
pub(crate) struct File {
    /// Path in the repository, with `/`.
    pub(crate) path: String,
    /// What it says; bytes that are not UTF-8 are replaced.
    pub(crate) text: String,
    /// For Rust: the text with comments and the insides of literals blanked out, line by line.
    pub(crate) code: String,
    /// For Rust: the same without test code.
    pub(crate) shipped: String,
}

impl File {
    /// Whether it is Rust in one of `folders`.
    pub(crate) fn is_rust_in(&self, folders: &[&str]) -> bool {
        is_rust(&self.path) && folders.iter().any(|folder| within(&self.path, folder))
    }
}

/// All files.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// Also those that are too big or too strange to be looked into.
    pub(crate) paths: BTreeSet<String>,
}

impl Tree {
    /// The files of this repository.
    pub(crate) fn of_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        walk(root, "", &mut found);
        assert!(
            found.iter().any(|(path, _)| path == "src/lib.rs"),
            "the sources were not found under {}",
            root.display()
        );
        Self::new(found)
    }

    /// Made-up files, for the tests of the rules.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let owned = |&(path, text): &(&str, &str)| (path.to_owned(), text.to_owned());
        Self::new(files.iter().map(owned).collect())
    }

    fn new(found: Vec<(String, String)>) -> Self {
        let paths: BTreeSet<String> = found.iter().map(|(path, _)| path.clone()).collect();
        let mut files: Vec<File> = found
            .into_iter()
            .map(|(path, text)| {
                let code = if is_rust(&path) {
                    scan::blank(&text)
                } else {
                    String::new()
                };
                let shipped = scan::without_tests(&code);
                File {
                    path,
                    text,
                    code,
                    shipped,
                }
            })
            .collect();
        forget_test_modules(&mut files);
        Self { files, paths }
    }

    /// The Rust files in `folders`.
    pub(crate) fn rust<'a>(&'a self, folders: &'a [&'a str]) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(|file| file.is_rust_in(folders))
    }
}

/// Whether `path` is `place` (a file) or lies in it (a folder).
pub(crate) fn within(path: &str, place: &str) -> bool {
    path.strip_prefix(place)
        .is_some_and(|rest| rest.is_empty() || place.ends_with('/') || rest.starts_with('/'))
}

pub(crate) fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "rs")
}

fn walk(dir: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{path}/"), found);
        } else if let Ok(bytes) = std::fs::read(entry.path()) {
            found.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}

/// Files that are declared under `#[cfg(test)]` are test code as a whole, with all below them.
fn forget_test_modules(files: &mut [File]) {
    let mut tests = Vec::new();
    for file in files.iter().filter(|file| is_rust(&file.path)) {
        let stem = file.path.trim_end_matches(".rs");
        let folder = stem
            .strip_suffix("/mod")
            .or_else(|| stem.strip_suffix("/lib"))
            .or_else(|| stem.strip_suffix("/main"))
            .unwrap_or(stem);
        for module in scan::test_modules(&file.code) {
            tests.push(format!("{folder}/{module}"));
        }
    }
    for file in files {
        let stem = file.path.trim_end_matches(".rs");
        if tests.iter().any(|test| within(stem, test)) {
            file.shipped.clear();
        }
    }
}
