//! What memory a worker needs, and what the machine lets it have.

use std::fs;
use std::path::Path;

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
    if needs.sum() <= limit {
        return;
    }
    let [sum, limit, peak, in_flight, cache] =
        [needs.sum(), limit, needs.peak, needs.in_flight, needs.cache].map(|bytes| bytes >> 20);
    tracing::warn!(
        "memory: {sum} MiB are needed ({peak} for the process and its models, {in_flight} for limits.in_flight and a quarter of \
         it, {cache} for cache.size), at least, and the container (its control group) may have {limit}: it would be killed under load. Raise its limit, or \
         lower these or model.sessions"
    );
}

/// The most that this process had resident.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = peak.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(1024 * kibibytes)
}

/// The least that this process' control group, or one above it, may have (cgroups(7)); `None` without a limit. In a container the
/// groups above it can't be seen, and its own is often the root.
fn limit(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            known if known.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let read = |group: &Path| fs::read_to_string(root.join(mount).join(group).join(file)).ok()?.trim().parse().ok();
        Path::new(group.trim_start_matches('/')).ancestors().filter_map(read).collect::<Vec<u64>>()
    });
    // Version 1 writes the largest number of pages for none.
    limits.filter(|limit| *limit < 1 << 60).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit where these files are.
    fn with(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        limit(root.path())
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
