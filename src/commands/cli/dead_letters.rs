//! The command line of `tagbert dead-letters`.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::ConfigArgs;
use crate::kafka::source::bounds;

/// `tagbert dead-letters`.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List dead letters, and count them by stage and class
    ///
    /// Nothing of a document is printed.
    List(List),
    /// Show one dead letter: headers, reason, key and value
    Show(Show),
    /// Send dead letters back to the topics that they came from
    ///
    /// With their own keys, bytes, headers and timestamps, and the header `tagbert.replay.attempt`. Nothing is sent twice,
    /// however often this runs, and if it is killed midway. The exit code is 0 if every dead letter that was asked for has
    /// been replayed, now or before.
    Replay(Replay),
}

/// `tagbert dead-letters list`.
#[derive(Debug, Args)]
pub struct List {
    /// The worker's configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which dead letters.
    #[command(flatten)]
    pub which: Which,
    /// Print a JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Only count
    #[arg(long)]
    pub summary: bool,
}

/// `tagbert dead-letters show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The worker's configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which: its partition and offset in the dead-letter topic, as `list` prints them
    #[arg(value_name = "PARTITION/OFFSET", value_parser = id)]
    pub id: (i32, i64),
    /// Write the bytes of the value, and nothing else
    #[arg(long)]
    pub raw: bool,
}

/// `tagbert dead-letters replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The worker's configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which dead letters.
    #[command(flatten)]
    pub which: Which,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Leave those that were replayed so often already
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: u32,
}

/// Which dead letters: all, unless something is said.
#[derive(Debug, Args)]
pub struct Which {
    /// Of this stage, such as `decode`; several may be given
    #[arg(long)]
    pub stage: Vec<String>,
    /// Of this class, such as `NotJson`; several may be given
    #[arg(long)]
    pub class: Vec<String>,
    /// That came from this topic; several may be given
    #[arg(long)]
    pub topic: Vec<String>,
    /// With timestamps from this time on: `2026-11-21T16:00:00Z`, or so long ago: `2h`
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// With timestamps before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Timestamp>,
    /// Of this partition of the dead-letter topic
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// At this offset of that partition; several may be given
    #[arg(long, value_name = "N", requires = "partition", value_parser = clap::value_parser!(i64).range(0..))]
    pub offset: Vec<i64>,
    /// The first so many of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

fn id(text: &str) -> Result<(i32, i64), String> {
    let parse = || {
        let (partition, offset) = text.split_once('/')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    parse().filter(|&(partition, offset)| partition >= 0 && offset >= 0).ok_or_else(|| "such as 0/42".into())
}

fn time(text: &str) -> Result<Timestamp, String> {
    bounds::time(text).ok_or_else(|| "a time such as 2026-11-21T16:00:00Z, or so long ago, such as 2h".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_points_or_so_long_ago() {
        assert_eq!(time("2026-11-21T16:00:00Z").unwrap().as_second(), 1_795_276_800);
        assert_eq!(time("2026-11-21T18:00:00+02:00"), time("2026-11-21T16:00:00Z"));
        let ago = Timestamp::now().duration_since(time("3d").unwrap());
        assert!((259_140..=259_200).contains(&ago.as_secs()));
        for bad in ["", "yesterday", "2026-11-21", "-2h", "99999999999y"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_partition_and_offset() {
        assert_eq!(id("3/42"), Ok((3, 42)));
        for bad in ["", "3", "3/", "/3", "-1/3", "1/-3", "1/2/3", "a/b", "1/99999999999999999999"] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }
}
