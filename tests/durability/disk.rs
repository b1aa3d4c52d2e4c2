//! A small disk of its own: ext4 on a loop device, mounted in a temporary directory. Needs root.
//!
//! Must never leave a mount, a loop device or a node behind, not even those of a run that was
//! killed: names carry the process id of the run, and the next run clears up after dead ones.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;

use tempfile::TempDir;

use crate::support::run;

/// Temporary directories of the labs begin like this, then the process id of the run.
const PREFIX: &str = "islet-durability-";
/// What lies in such a directory: the disk, where it is mounted, and for a logged disk its log and
/// what was on it when the log began.
const IMAGE: &str = "image";
const MOUNT_POINT: &str = "mnt";
const LOG: &str = "log";
const ORIGINAL: &str = "original";
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
    /// Serves the image when it is not a plain file.
    server: Option<Child>,
}

impl Disk {
    /// A new disk, or why there can be none here.
    pub(crate) fn new(mib: u32) -> Result<Self, String> {
        Self::with(|disk| format(&disk.home.join(IMAGE), mib))
    }

    /// A disk with the file system that `write` puts into the file it is given.
    pub(crate) fn of(write: impl FnOnce(&Path)) -> Result<Self, String> {
        Self::with(|disk| {
            write(&disk.home.join(IMAGE));
            Ok(())
        })
    }

    /// A new disk that logs what is written to it and flushed.
    pub(crate) fn logged(mib: u32) -> Result<Self, String> {
        Self::with(|disk| {
            let [original, current] = [ORIGINAL, "current"].map(|name| disk.home.join(name));
            format(&original, mib)?;
            std::fs::copy(original, current).unwrap();
            disk.serve_logged()
        })
    }

    fn with(image: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<Self, String> {
        let mut disk = Self {
            home: directory().keep(),
            device: None,
            server: None,
        };
        std::fs::create_dir(disk.mount_point()).unwrap();
        image(&mut disk)?;
        let mut losetup = Command::new("losetup");
        losetup.args(["--find", "--show"]);
        let device = attempt(losetup.arg(disk.home.join(IMAGE)))?;
        disk.device = Some(device.trim().to_owned());
        disk.mount()?;
        Ok(disk)
    }

    /// Lets QEMU serve the image, over FUSE, and log each write and flush that reaches it.
    fn serve_logged(&mut self) -> Result<(), String> {
        let [image, log] = [IMAGE, LOG].map(|name| self.home.join(name));
        for file in [&image, &log] {
            std::fs::File::create(file).unwrap();
        }
        let mut server = Command::new("qemu-storage-daemon");
        server.current_dir(&self.home).stderr(Stdio::piped());
        for node in [
            "file,node-name=disk,filename=current",
            "file,node-name=log,filename=log",
            "blklogwrites,node-name=logged,file=disk,log=log",
        ] {
            server.arg("--blockdev").arg(format!("driver={node}"));
        }
        let export = format!(
            "type=fuse,id=export,node-name=logged,writable=on,mountpoint={}",
            image.display()
        );
        let server = server.args(["--export", &export]).spawn();
        let server = server.map_err(|error| format!("qemu-storage-daemon: {error}"))?;
        let server = self.server.insert(server);
        while std::fs::metadata(&image).unwrap().len() == 0 {
            if server.try_wait().unwrap().is_some() {
                let mut why = String::new();
                let _ = server.stderr.take().unwrap().read_to_string(&mut why);
                return Err(format!("qemu-storage-daemon: {}", why.trim()));
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Ok(())
    }

    /// The log of a logged disk, and the disk as it was when the log began.
    pub(crate) fn log(&self) -> (PathBuf, PathBuf) {
        (self.home.join(LOG), self.home.join(ORIGINAL))
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
        self.home.join(MOUNT_POINT)
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
        if let Some(server) = &mut self.server {
            let _ = server.wait();
        }
    }
}

/// Makes a file of `mib` MiB with an empty file system.
fn format(image: &Path, mib: u32) -> Result<(), String> {
    let file = std::fs::File::create(image).unwrap();
    file.set_len(u64::from(mib) << 20).unwrap();
    attempt(Command::new("mkfs.ext4").arg("-q").arg(image)).map(drop)
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

/// Unmounts, frees, ends and deletes what belongs to one temporary directory.
fn clear(home: &Path) {
    let unmount = |name: &str| {
        // A lazy unmount succeeds even when a node of a dead run still has files open.
        let mut command = Command::new("umount");
        let _ = command.arg("--lazy").arg(home.join(name)).output();
    };
    unmount(MOUNT_POINT);
    let image = home.join(IMAGE);
    let mut devices = Command::new("losetup");
    devices.args(["--noheadings", "--output", "NAME", "--associated"]);
    if let Ok(found) = devices.arg(&image).output() {
        for device in String::from_utf8_lossy(&found.stdout).lines() {
            let _ = Command::new("losetup")
                .args(["--detach", device.trim()])
                .output();
        }
    }
    kill_processes(home);
    unmount(IMAGE);
    let mounted = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    if !mounted.contains(&*home.to_string_lossy()) {
        let _ = std::fs::remove_dir_all(home);
    }
}

/// Clears the directories of runs that were killed.
fn clear_leftovers() {
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap();
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let run = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if run.is_some_and(|run| !Path::new(&format!("/proc/{run}")).exists()) {
            clear(&entry.path());
        }
    }
}

/// Ends nodes that serve a data directory inside `home`, and servers of its image.
fn kill_processes(home: &Path) {
    let home = home.to_string_lossy().into_owned();
    for process in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        let node = command.contains("\0serve\0") && command.contains(&format!("\0{home}/"));
        let server =
            command.starts_with("qemu-storage-daemon\0") && command.contains(&format!("={home}/"));
        if node || server {
            let _ = Command::new("kill")
                .arg("-KILL")
                .arg(process.file_name())
                .output();
        }
    }
}
