//! A small disk of its own: ext4 on a loop device, mounted in a temporary directory. Needs root.
//!
//! Must never leave a mount, a loop device or a node behind, not even those of a run that was
//! killed: names carry the process id of the run, and the next run clears up after dead ones.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;

use tempfile::TempDir;

use crate::support::run;

/// Temporary directories of the labs begin like this, then the process id of the run.
const PREFIX: &str = "islet-durability-";
/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`, at the word: the file system takes no
/// more writes and drops what it has not yet flushed, its journal included.
const SHUTDOWN: &str = "import fcntl, os, struct, sys
disk = os.open(sys.argv[1], os.O_RDONLY)
print('armed', flush=True)
sys.stdin.readline()
fcntl.ioctl(disk, 0x8004587d, struct.pack('I', 2))";

/// A new temporary directory; what killed runs left is cleared first.
pub(crate) fn directory() -> TempDir {
    static LEFTOVERS: Once = Once::new();
    LEFTOVERS.call_once(clear_leftovers);
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().unwrap()
}

/// A mounted file system. Unmounted and deleted when dropped.
pub(crate) struct Disk {
    home: PathBuf,
    device: Option<String>,
}

impl Disk {
    /// A new disk, or why there can be none here.
    pub(crate) fn new(mib: u32) -> Result<Self, String> {
        let mut disk = Self {
            home: directory().keep(),
            device: None,
        };
        std::fs::create_dir(disk.mount_point()).unwrap();
        let image = disk.home.join("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(u64::from(mib) << 20).unwrap();
        attempt(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        let device = attempt(
            Command::new("losetup")
                .args(["--find", "--show"])
                .arg(&image),
        )?;
        disk.device = Some(device.trim().to_owned());
        disk.mount()?;
        Ok(disk)
    }

    /// A new disk whose power can be cut, or why there can be none here.
    pub(crate) fn with_power(mib: u32) -> Result<Self, String> {
        let disk = Self::new(mib)?;
        disk.cut_power()?;
        disk.remount();
        Ok(disk)
    }

    /// Where it is mounted.
    pub(crate) fn mount_point(&self) -> PathBuf {
        self.home.join("mnt")
    }

    /// The loop device, as `/sys/block` calls it.
    pub(crate) fn device(&self) -> &str {
        self.device.as_deref().unwrap().trim_start_matches("/dev/")
    }

    /// Drops everything that was not flushed.
    pub(crate) fn cut_power(&self) -> Result<(), String> {
        self.fuse()?.blow()
    }

    /// Prepares a power cut.
    pub(crate) fn fuse(&self) -> Result<Fuse, String> {
        let mut command = Command::new("python3");
        command.args(["-c", SHUTDOWN]).arg(self.mount_point());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = command.stderr(Stdio::piped()).spawn();
        let mut process = process.map_err(|error| format!("python3: {error}"))?;
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        Ok(Fuse(process))
    }

    /// What the next boot does: the journal is replayed.
    pub(crate) fn remount(&self) {
        run(Command::new("umount").arg(self.mount_point()));
        self.mount().unwrap();
    }

    /// A long commit interval: nothing but a flush that was asked for makes writes durable.
    fn mount(&self) -> Result<(), String> {
        let mut command = Command::new("mount");
        command.args(["-t", "ext4", "-o", "commit=60"]);
        attempt(
            command
                .arg(self.device.as_deref().unwrap())
                .arg(self.mount_point()),
        )
        .map(drop)
    }
}

/// A power cut that waits for its moment.
pub(crate) struct Fuse(Child);

impl Fuse {
    /// Cuts the power, or says why it cannot be cut here.
    pub(crate) fn blow(self) -> Result<(), String> {
        // Closes its standard input: the word it waits for.
        let output = self.0.wait_with_output().unwrap();
        succeeded("python3", &output).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        clear(&self.home);
    }
}

fn attempt(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    succeeded(
        &program,
        &output.map_err(|error| format!("{program}: {error}"))?,
    )
}

fn succeeded(program: &str, output: &Output) -> Result<String, String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!(
        "{program}: {}",
        text.lines().last().unwrap_or_default()
    ))
}

/// Unmounts, frees and deletes what belongs to one temporary directory.
fn clear(home: &Path) {
    // A lazy unmount succeeds even when a node of a dead run still has files open.
    let _ = Command::new("umount")
        .arg("--lazy")
        .arg(home.join("mnt"))
        .output();
    let image = home.join("image");
    let mut devices = Command::new("losetup");
    devices.args(["--noheadings", "--output", "NAME", "--associated"]);
    if let Ok(found) = devices.arg(&image).output() {
        for device in String::from_utf8_lossy(&found.stdout).lines() {
            let _ = Command::new("losetup")
                .args(["--detach", device.trim()])
                .output();
        }
    }
    let mounted = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mount_point = home.join("mnt");
    if !mounted.contains(&*mount_point.to_string_lossy()) {
        let _ = std::fs::remove_dir_all(home);
    }
}

/// Ends the nodes and clears the directories of runs that were killed.
fn clear_leftovers() {
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap();
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let run = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if run.is_some_and(|run| !Path::new(&format!("/proc/{run}")).exists()) {
            kill_nodes(&entry.path());
            clear(&entry.path());
        }
    }
}

/// Ends the nodes that serve a data directory inside `home`.
fn kill_nodes(home: &Path) {
    let home = home.to_string_lossy().into_owned();
    for process in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        if command.contains("\0serve\0") && command.contains(&format!("\0{home}/")) {
            let _ = Command::new("kill")
                .arg("-KILL")
                .arg(process.file_name())
                .output();
        }
    }
}
