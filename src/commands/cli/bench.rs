//! The command lines of `tagbert bench` and `tagbert plan`.

use std::time::Duration;

use clap::Args;
use humantime_serde::re::humantime;

use super::ConfigArgs;

/// Which documents are measured.
#[derive(Debug, Args)]
pub struct SampleArgs {
    /// A file of JSON lines, or a topic, whose last records are read; without it, the first input topic
    #[arg(long, value_name = "FILE|TOPIC")]
    pub documents: Option<String>,
    /// So many documents at most
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// `tagbert bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// The worker's configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which documents.
    #[command(flatten)]
    pub sample: SampleArgs,
    /// How long it may take, loading and reading apart
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `tagbert plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// The worker's configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which documents.
    #[command(flatten)]
    pub sample: SampleArgs,
    /// How many documents a second are to be tagged
    #[arg(long, value_name = "N", value_parser = positive)]
    pub rate: f64,
    /// How late results may be, and in what time workers are to be through what has piled up: KEDA's lag threshold follows
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub late: Duration,
    /// What a machine like this one costs an hour, in any currency
    #[arg(long, value_name = "PRICE", value_parser = positive)]
    pub price: Option<f64>,
    /// How many partitions the input topics have; without it, the brokers are asked if the documents come from there
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub partitions: Option<u32>,
    /// How long the calibration may take, loading and reading apart
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| (1e-6..=1e9).contains(number));
    number.ok_or_else(|| "a number from 0.000001 to 1000000000".into())
}

/// Less than a second is less than it takes to notice that there is lag.
fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| (1..=86_400 * 365).contains(&time.as_secs()));
    time.ok_or_else(|| "a time of a second or more, with its unit, such as 30s or 10m".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_long_enough_to_be_kept() {
        assert_eq!(time("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["0s", "999ms", "30", "-1s", "soon", "9999y", ""] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_is_one_that_can_be() {
        assert_eq!(positive("0.5"), Ok(0.5));
        for bad in ["0", "-1", "inf", "NaN", "1e999", "1e-300", "1e300", "many", ""] {
            assert!(positive(bad).is_err(), "{bad}");
        }
    }
}
