//! What memory a worker needs, and what the machine lets it have.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// What a partition takes besides, at most.
const PARTITION: u64 = 2 << 20;

/// A worker's memory, by its parts, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The most that this process had resident.
    pub peak: u64,
    /// Documents on their way, and what is fetched ahead.
    pub in_flight: u64,
    /// Of the partitions that it is known to have.
    pub partitions: u64,
    /// Answers to texts that may come again.
    pub cache: u64,
}

impl Memory {
    /// What a worker with the models of this process needs; `None` where the system does not say what they took.
    #[must_use]
    pub fn of(config: &Config, partitions: usize) -> Option<Self> {
        let in_flight = config.limits.in_flight.as_u64();
        Some(Self {
            peak: peak()?,
            in_flight: in_flight + in_flight / 4,
            partitions: partitions as u64 * PARTITION,
            cache: config.cache.size.as_u64(),
        })
    }

    /// All of it.
    #[must_use]
    pub fn sum(self) -> u64 {
        self.peak + self.in_flight + self.partitions + self.cache
    }
}

/// Says so if the container is too small: the kernel kills whoever takes more, without a word in its log.
pub fn warn(config: &Config) {
    let (Some(needs), Some(limit)) = (Memory::of(config, 0), limit(Path::new("/"))) else { return };
    if let Some(complaint) = complaint(needs, !config.model.watch.is_zero(), limit) {
        tracing::warn!("memory: {complaint}");
    }
}

/// What is to be said of a limit. Changed models are tried, and then loaded beside those that are in use: that takes as much again
/// as the process and its models.
fn complaint(needs: Memory, reloads: bool, limit: u64) -> Option<String> {
    let [sum, most, peak, in_flight, cache] =
        [needs.sum(), limit, needs.peak, needs.in_flight, needs.cache].map(|bytes| bytes >> 20);
    let container = "the container (its control group) may have";
    if needs.sum() > limit {
        return Some(format!(
            "{sum} MiB are needed ({peak} for the process and its models, {in_flight} for limits.in_flight and a quarter of it, \
             {cache} for cache.size), at least, and {container} {most}: it would be killed under load. Raise its limit, or \
             lower these or model.sessions"
        ));
    }
    (reloads && needs.sum() + needs.peak > limit).then(|| {
        format!(
            "{sum} MiB are needed, and some {peak} more while changed models are loaded (model.watch), and {container} {most}: \
             they may be refused, or it may be killed. Raise its limit, or say `model.watch: off` if they do not change"
        )
    })
}

/// The most that this process had resident.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = peak.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(1024 * kibibytes)
}

/// What the control groups have left for this process and those that it starts; `None` without a limit.
#[must_use]
pub fn left() -> Option<u64> {
    left_of(Path::new("/"))
}

/// A control group of this process, or one above it, with the names of its files.
struct Group {
    folder: PathBuf,
    limit: &'static str,
    usage: &'static str,
    /// What `memory.stat` calls the pages of files, which are given back before anybody is killed.
    files: [&'static str; 2],
}

impl Group {
    fn limit(&self) -> Option<u64> {
        // Version 1 writes the largest number of pages for none.
        self.number(self.limit).filter(|limit| *limit < 1 << 60)
    }

    fn left(&self) -> Option<u64> {
        let stat = fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let bytes = |line: &str| {
            let (name, number) = line.split_once(' ')?;
            self.files.contains(&name).then(|| number.parse::<u64>().ok())?
        };
        let files: u64 = stat.lines().filter_map(bytes).sum();
        Some(self.limit()?.saturating_sub(self.number(self.usage)?.saturating_sub(files)))
    }

    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok()
    }
}

/// All that can be seen of them (cgroups(7)): in a container not those above it, and its own is often the root.
fn groups(root: &Path) -> Vec<Group> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let groups = own.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (mount, limit, usage, files) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max", "memory.current", ["inactive_file", "active_file"]),
            known if known.split(',').any(|name| name == "memory") => (
                "sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                ["total_inactive_file", "total_active_file"],
            ),
            _ => return Vec::new(),
        };
        let group = Path::new(group.trim_start_matches('/'));
        let all = group.ancestors().map(|group| root.join(mount).join(group));
        all.map(|folder| Group { folder, limit, usage, files }).collect()
    });
    groups.collect()
}

/// The least that one of them may have; `None` without a limit.
fn limit(root: &Path) -> Option<u64> {
    groups(root).iter().filter_map(Group::limit).min()
}

fn left_of(root: &Path) -> Option<u64> {
    groups(root).iter().filter_map(Group::left).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit where these files are.
    fn with(files: &[(&str, &str)]) -> Option<u64> {
        limit(root_of(files).path())
    }

    fn root_of(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn a_limit_that_has_no_room_for_a_reload_is_told_of_if_models_are_watched() {
        let needs = Memory { peak: 100 << 20, in_flight: 80 << 20, partitions: 0, cache: 20 << 20 };
        let said = |reloads, limit: u64| complaint(needs, reloads, limit << 20).unwrap_or_default();
        assert!(said(false, 199).starts_with("200 MiB are needed (100 for"), "{}", said(false, 199));
        assert!(said(true, 199).contains("killed under load"));
        assert!(said(true, 299).contains("some 100 more while changed models are loaded"), "{}", said(true, 299));
        assert_eq!([said(false, 299), said(true, 300)], [""; 2]);
    }

    #[test]
    fn what_is_left_is_without_what_is_used_but_with_the_pages_of_files() {
        let new = root_of(&[
            ("proc/self/cgroup", "0::/pod/c1\n"),
            ("sys/fs/cgroup/pod/c1/memory.max", "max\n"),
            ("sys/fs/cgroup/pod/memory.max", "1000\n"),
            ("sys/fs/cgroup/pod/memory.current", "700\n"),
            ("sys/fs/cgroup/pod/memory.stat", "anon 500\nfile 200\ninactive_file 50\nactive_file 150\n"),
        ]);
        assert_eq!(left_of(new.path()), Some(500));
        let old = root_of(&[
            ("proc/self/cgroup", "4:memory:/a\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000\n"),
            ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1100\n"),
            ("sys/fs/cgroup/memory/a/memory.stat", "inactive_file 7\ntotal_inactive_file 50\ntotal_active_file 0\n"),
        ]);
        assert_eq!(left_of(old.path()), Some(0));
        assert_eq!(left_of(root_of(&[]).path()), None);
    }

    #[test]
    fn the_least_limit_of_all_groups_above_counts() {
        let groups = ("proc/self/cgroup", "0::/kubepods/pod1/c1\n");
        let limits = [
            ("sys/fs/cgroup/kubepods/pod1/c1/memory.max", "max\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", "300\n"),
            ("sys/fs/cgroup/kubepods/memory.max", "900\n"),
        ];
        assert_eq!(with(&[&[groups], &limits[..]].concat()), Some(300));
        assert_eq!(with(&[groups, limits[0]]), None);
        assert_eq!(with(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "7\n")]), Some(7));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn groups_of_version_1_are_read_too() {
        let groups = ("proc/self/cgroup", "9:name=systemd:/\n4:memory,hugetlb:/docker/ab\n2:cpu,cpuacct:/x\n0::/\n");
        let (root, own) =
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes");
        assert_eq!(with(&[groups, (root, "9223372036854771712\n"), (own, "5000\n")]), Some(5000));
        // A container has its own limits at the root, and the path of the machine.
        assert_eq!(with(&[groups, (root, "6000\n")]), Some(6000));
        assert_eq!(with(&[groups, (root, "9223372036854771712\n")]), None);
    }
}
