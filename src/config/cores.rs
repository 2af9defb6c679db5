//! How many cores may be taken, where the system does not say: a container that asks for some and has no limit sees all of the
//! machine's.

use std::collections::HashMap;

use super::ConfigError;
use super::place::Place;

const VARIABLE: &str = "TAGBERT_CPUS";

/// The most that `TAGBERT_CPUS` allows; `None` without it. One that can't be used was refused with the configuration.
#[must_use]
pub fn most_cores() -> Option<usize> {
    number(&std::env::var(VARIABLE).ok()?)
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number > 0)
}

/// Refuses a value that can't be used.
pub(super) fn check(environment: &HashMap<String, String>) -> Result<(), ConfigError> {
    // Set to nothing is not set.
    let wrong = environment.get(VARIABLE).filter(|text| !text.is_empty() && number(text).is_none());
    let Some(text) = wrong else { return Ok(()) };
    let why = format!("is `{text}`: it must be how many cores to use at most, a whole number from 1 on, such as `4`");
    let error = ConfigError::Value { key: VARIABLE.into(), why };
    Err(ConfigError::Placed { place: Place::Elsewhere("the environment".into()), error: Box::new(error) })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn refused(cpus: &str) -> Option<String> {
        let environment = HashMap::from([(VARIABLE.to_owned(), cpus.to_owned())]);
        Config::parse("input: {text: [/text]}", environment, &[]).err().map(|error| error.to_string())
    }

    #[test]
    fn a_number_of_cores_that_is_none_is_refused_by_its_name() {
        for cpus in ["0", "-1", "1.5", "500m", "four"] {
            let said = refused(cpus).unwrap_or_default();
            assert!(said.contains(&format!("the environment: `TAGBERT_CPUS` is `{cpus}`")), "{cpus}: {said}");
        }
        for cpus in ["", "1", "999"] {
            let said = refused(cpus).unwrap_or_default();
            assert!(!said.contains(VARIABLE), "{cpus}: {said}");
        }
    }
}
