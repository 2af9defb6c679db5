//! Point 7: what is there twice is tagged once.

use crate::report::{Figure, Goal, Report};
use crate::work::{self, Scale};

pub fn measure(scale: Scale, report: &mut Report) {
    let count = scale.of(60, 150, 600);
    let documents = work::documents(count * scale.rounds());
    let times = documents.chunks(count).map(|some| {
        // Three of ten are repeats, among the others.
        let repeats = some.len() * 3 / 10;
        let mut mixed = [&some[..some.len() - repeats], &some[..repeats]].concat();
        fastrand::Rng::with_seed(2).shuffle(&mut mixed);
        let tag = |size: &str| work::tag(&mixed, "models/tagbert-small", &[size]).rate;
        tag("cache.size=32MiB") / tag("cache.size=0")
    });
    report.add("7", "W with 30 % repeats: with a cache ÷ without", Goal::None, &Figure::of(times.collect::<Vec<_>>()));
}
