//! Rows of tables instead of records of topics.

use super::error::refuse;
use super::{Charset, Config, ConfigError, Format, Scores};

impl Config {
    /// Has rows become documents, and columns tags, whatever records are on topics.
    ///
    /// # Errors
    /// When it asks for what tables don't have, and would be passed over in silence.
    pub fn read_rows(&mut self) -> Result<(), ConfigError> {
        for (key, is_set, why) in [
            (
                "redact",
                !self.redact.is_empty(),
                "rows keep all of their columns (`tagbert tag` and `tagbert run` mask)",
            ),
            (
                "output.scores",
                self.output.scores != Scores::default(),
                "columns have the score of the best label alone",
            ),
            ("input.lenient", self.input.lenient, "rows are what they are, and JSON is JSON"),
            ("input.charset", self.input.charset != Charset::default(), "text is read as UTF-8: `iconv` makes it so"),
        ] {
            if is_set {
                return refuse(key, format!("is not for tables: {why}; leave it out"));
            }
        }
        self.input.format = Format::Json;
        self.output.make_nested_json();
        Ok(())
    }
}
