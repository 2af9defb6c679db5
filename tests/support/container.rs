//! Control groups with limits, as a container runtime makes them for a pod: of version 2, or of version 1 where the machine has
//! that.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The groups of one container; dropping it removes them. Those who are in it must be gone by then.
pub struct Container {
    memory: PathBuf,
    cpu: PathBuf,
    is_new: bool,
    entered: Cell<bool>,
}

impl Container {
    /// With so many thousandths of a core, and so much memory; `None` where the kernel's interface is out of reach.
    pub fn create(name: &str, millicores: Option<usize>, memory: Option<usize>) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let is_new = root.join("cgroup.controllers").exists();
        let [memory_group, cpu] = if is_new {
            [root.join(name), root.join(name)]
        } else {
            ["memory", "cpu"].map(|of| root.join(of).join(name))
        };
        let container = Self { memory: memory_group, cpu, is_new, entered: Cell::new(false) };
        let made = container.groups().iter().try_for_each(fs::create_dir);
        let made = made.and_then(|()| millicores.map_or(Ok(()), |millicores| container.limit_cores(millicores)));
        made.and_then(|()| memory.map_or(Ok(()), |bytes| container.limit_memory(bytes))).is_ok().then_some(container)
    }

    /// Where who shall be in it has to be written.
    pub fn groups(&self) -> Vec<PathBuf> {
        if self.is_new { vec![self.memory.clone()] } else { vec![self.memory.clone(), self.cpu.clone()] }
    }

    /// So many thousandths of a core.
    fn limit_cores(&self, millicores: usize) -> io::Result<()> {
        let quota = (millicores * 100).to_string();
        if self.is_new {
            fs::write(self.cpu.join("cpu.max"), format!("{quota} 100000"))
        } else {
            fs::write(self.cpu.join("cpu.cfs_quota_us"), quota)
        }
    }

    /// So many bytes.
    fn limit_memory(&self, bytes: usize) -> io::Result<()> {
        let file = if self.is_new { "memory.max" } else { "memory.limit_in_bytes" };
        fs::write(self.memory.join(file), bytes.to_string())
    }

    /// Moves this process into it, and with it all that it starts.
    pub fn enter(&self) -> bool {
        self.entered.set(true);
        self.groups().iter().try_for_each(|group| move_here(group)).is_ok()
    }

    /// How often one of it was killed because there was no memory left.
    pub fn killed_for_memory(&self) -> u64 {
        let file = if self.is_new { "memory.events" } else { "memory.oom_control" };
        counter(&self.memory.join(file), "oom_kill")
    }

    /// In how many periods, of a tenth of a second, it had used up its share of the cores.
    pub fn throttled(&self) -> u64 {
        counter(&self.cpu.join("cpu.stat"), "nr_throttled")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for group in self.groups() {
            if self.entered.get() {
                let _ = move_here(group.parent().unwrap());
            }
            let _ = fs::remove_dir(group);
        }
    }
}

fn move_here(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), std::process::id().to_string())
}

/// The number behind a name in a file of lines.
fn counter(file: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let number = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
    text.lines().find_map(number).unwrap_or_default()
}
