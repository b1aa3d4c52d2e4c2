//! Documents and everything else that is text: links, mentioned files, names that do not belong.

use std::collections::BTreeSet;

use super::scan;
use super::tree::{File, Tree, is_rust, within};

/// Where the files live that text may mention by their path.
const FOLDERS: [&str; 8] = [
    "src/",
    "sync/",
    "docs/",
    "tests/",
    "benches/",
    "tools/",
    "web/",
    "packaging/",
];
/// Endings of the files that are looked for.
const ENDINGS: [&str; 6] = [".rs", ".md", ".sh", ".py", ".toml", ".sql"];

/// Hosts of package registries and paths of other machines. In two parts each, so that this file
/// does not find itself.
fn foreign() -> Vec<String> {
    let pairs = [
        ("crates", ".io"),
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("npmjs", ".org"),
        ("npmjs", ".com"),
        ("debian", ".org"),
        ("proxy.golang", ".org"),
        ("/wo", "rk/"),
    ];
    pairs.map(|(a, b)| format!("{a}{b}")).to_vec()
}

pub(crate) fn the_tree_names_no_registry_and_no_foreign_path(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let foreign = foreign();
    // The format of lock files names the registry in every entry. Besides the node's there are
    // those of the crates that are workspaces of their own.
    let locked = |path: &str| path == "Cargo.lock" || path.ends_with("/Cargo.lock");
    for file in tree.files.iter().filter(|file| !locked(&file.path)) {
        for name in &foreign {
            for (at, _) in file.text.match_indices(name.as_str()) {
                let line = scan::line_of(&file.text, at);
                findings.push(format!(
                    "{}:{line}: names `{name}`; the tree must work on any machine and with any \
                     mirror: leave it out",
                    file.path
                ));
            }
        }
    }
    findings
}

fn is_markdown(file: &&File) -> bool {
    file.path.ends_with(".md")
}

/// The text with code blocks and `code` blanked out. Lines stay.
fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fenced = false;
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if !(fenced || fence) {
            for (index, part) in line.split('`').enumerate() {
                out.push_str(if index % 2 == 0 { part } else { "" });
            }
        }
        out.push('\n');
    }
    out
}

/// The links of a document, `[text](target)` and `[name]: target`, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let prose = prose(text);
    let mut found = Vec::new();
    for (index, line) in prose.lines().enumerate() {
        for (at, _) in line.match_indices("](") {
            let target = &line[at + 2..];
            let end = target.find([')', ' ']).unwrap_or(target.len());
            found.push((index + 1, target[..end].to_owned()));
        }
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            found.push((index + 1, target.trim().to_owned()));
        }
    }
    found
}

/// The anchors of a document: its headings as they are linked to on code-hosting sites.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced || !line.starts_with('#') {
            continue;
        }
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        found.insert(kept.collect::<String>().replace(' ', "-"));
    }
    found
}

/// `target` as seen from `file`; `None` when it leads out of the repository.
fn resolve(file: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

pub(crate) fn links_in_documents_resolve(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(is_markdown) {
        for (line, target) in links(&file.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if path.is_empty() {
                Some(file.path.clone())
            } else {
                resolve(&file.path, path)
            };
            let found = path.as_ref().filter(|path| {
                let folder = format!("{path}/");
                tree.paths.contains(*path) || tree.paths.iter().any(|file| within(file, &folder))
            });
            let Some(path) = found else {
                findings.push(format!(
                    "{}:{line}: the link `{target}` leads nowhere",
                    file.path
                ));
                continue;
            };
            let document = tree.files.iter().find(|file| file.path == *path);
            let missing = |text: &str| !anchors(text).contains(anchor);
            if !anchor.is_empty() && document.is_some_and(|document| missing(&document.text)) {
                findings.push(format!(
                    "{}:{line}: {path} has no heading `#{anchor}`",
                    file.path
                ));
            }
        }
    }
    findings
}

/// Paths in comments and documents, such as `src/store/mod.rs`, are of files that exist.
pub(crate) fn files_that_are_mentioned_exist(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in &tree.files {
        // The rules and their tests speak of files that do not exist.
        let looked_at = is_markdown(&file) || is_rust(&file.path) || file.path.ends_with(".sql");
        if !looked_at || within(&file.path, "tests/tidy") {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "_-./".contains(c)));
            for word in words {
                let word = word.trim_end_matches('.');
                let is_path = FOLDERS.iter().any(|folder| word.starts_with(folder))
                    && ENDINGS.iter().any(|end| word.ends_with(end));
                if is_path && !word.contains("..") && !tree.paths.contains(word) {
                    findings.push(format!(
                        "{}:{}: there is no `{word}`; correct the path",
                        file.path,
                        index + 1
                    ));
                }
            }
        }
    }
    findings
}
