//! How many pods KEDA, and the `HorizontalPodAutoscaler` that it makes, want at a lag: by the documents of both.

use std::time::Duration;

/// What a `ScaledObject` says.
#[derive(Clone, Debug)]
pub struct Scaler {
    /// `lagThreshold`: so much lag is for one pod.
    pub threshold: i64,
    /// `activationLagThreshold`: so much lag wakes nobody.
    pub activation: i64,
    /// More pods than partitions would stand idle.
    pub partitions: i64,
    /// `minReplicaCount`.
    pub least: usize,
    /// `maxReplicaCount`.
    pub most: usize,
    /// `cooldownPeriod`: after so long without lag, there are `least`.
    pub cooldown: Duration,
    /// `stabilizationWindowSeconds` of going down: the most that was wanted within it counts.
    pub stabilization: Duration,
    /// When there was last something to do.
    pub active: Duration,
    /// What was wanted, and when.
    pub wanted: Vec<(Duration, usize)>,
}

impl Scaler {
    /// The pods that there should be at this lag, where there are so many now.
    pub fn replicas(&mut self, now: Duration, lag: i64, pods: usize) -> usize {
        if lag > self.activation {
            self.active = now;
        }
        let is_active = lag > self.activation;
        if pods == 0 {
            return if is_active { self.least.max(1) } else { self.least };
        }
        if !is_active && now.saturating_sub(self.active) >= self.cooldown {
            return self.least;
        }
        // To the autoscaler the lag is a metric whose average, by pod, is to be the threshold.
        let lag = lag.min(self.partitions * self.threshold);
        let ratio = lag as f64 / (self.threshold * pods as i64) as f64;
        let within_tolerance = (ratio - 1.0).abs() <= 0.1;
        let wanted = usize::try_from((lag + self.threshold - 1) / self.threshold).unwrap_or_default();
        let wanted = if within_tolerance { pods } else { wanted };
        // It goes up by four pods, or to twice as many, in 15 s.
        let wanted = wanted.min((2 * pods).max(pods + 4)).clamp(self.least.max(1), self.most);
        self.wanted.push((now, wanted));
        self.wanted.retain(|(when, _)| now.saturating_sub(*when) <= self.stabilization);
        let lately = self.wanted.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted);
        if wanted < pods { lately.min(pods) } else { wanted }
    }
}

/// Whether it wants what KEDA's documents say, by lag, pods and time.
pub fn the_scaler_wants_what_keda_would() -> bool {
    let seconds = Duration::from_secs;
    let new = || Scaler {
        threshold: 100,
        activation: 0,
        partitions: 6,
        least: 0,
        most: 10,
        cooldown: seconds(300),
        stabilization: seconds(300),
        active: Duration::ZERO,
        wanted: Vec::new(),
    };
    // Lag, pods, and what is wanted.
    let at_once = [
        (0, 0, 0),
        (1, 0, 1),
        (5000, 0, 1),
        (100, 1, 1),
        (109, 1, 1),
        (111, 1, 2),
        (301, 1, 4),
        (5000, 1, 5),
        (5000, 5, 6),
        (5000, 6, 6),
    ];
    let mut good = at_once.iter().all(|&(lag, pods, wanted)| new().replicas(seconds(1), lag, pods) == wanted);
    // Down, and to none, it takes its time.
    let mut scaler = new();
    for (now, lag, pods, wanted) in [
        (0, 400, 4, 4),
        (100, 50, 4, 4),
        (299, 50, 4, 4),
        (301, 50, 4, 1),
        (310, 0, 1, 1),
        (600, 0, 1, 1),
        (601, 0, 1, 0),
    ] {
        let found = scaler.replicas(seconds(now), lag, pods);
        if found != wanted {
            eprintln!("after {now} s, at a lag of {lag} and {pods} pods: {found}, not {wanted}");
            good = false;
        }
    }
    good
}
