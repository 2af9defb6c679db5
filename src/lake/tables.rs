//! Tables in memory: what engines that read and write by themselves, such as Spark, have tagged by the same line.

use std::collections::HashMap;
use std::mem::take;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema as TableSchema};
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::columns::Columns;
use super::tags::Schema;
use crate::config::{Config, KeepDocument};
use crate::pipeline::Pipeline;
use crate::pipeline::sink::Sink;
use crate::record::budget::Budget;
use crate::record::envelope::{Envelope, Lease, Origin, Record};
use crate::record::outcome::Outcome;
use crate::record::rejection::{Rejection, TEXT_EMPTY, TEXT_MISSING};
use crate::record::stop::Stop;
use crate::tagger::live::Live;
use crate::telemetry::metrics::Metrics;

/// A table goes into the line in pieces of so many rows: their texts are in memory once more.
const ROWS: usize = 4096;

/// Who waits is asked so often whether it is still to be.
const PATIENCE: Duration = Duration::from_millis(100);

/// A running line for tables. Any number of threads may have theirs tagged at once: rows of all of them fill its batches.
#[derive(Debug)]
pub struct Tables {
    live: Arc<Live>,
    columns: Columns,
    pipeline: Pipeline,
    budget: Budget,
    calls: Arc<Calls>,
    stop: Arc<Stop>,
    next: AtomicI32,
    topic: Arc<str>,
}

/// What came of a row: its enriched record, or none, with the reason unless it has no text.
type Came = Result<Option<Vec<u8>>, Rejection>;

/// Who waits for what. In the line, a call is a partition.
#[derive(Debug, Default)]
struct Calls(Mutex<HashMap<i32, Sender<Came>>>);

/// A call, until it is over, however that comes: what is then still in the line is let go.
struct Call<'c> {
    calls: &'c Calls,
    number: i32,
    came: Receiver<Came>,
    lease: Lease,
}

impl Tables {
    /// Starts a line with taggers that are loaded already, by a configuration that names the same, for whichever texts.
    ///
    /// # Errors
    /// When the configuration asks for what tables don't have, or the system refuses a thread.
    pub fn start(config: &Config, live: &Arc<Live>) -> Result<Self> {
        let mut config = config.clone();
        config.read_rows()?;
        // The rows themselves stay where they are.
        config.output.document = KeepDocument::Drop;
        let budget = Budget::new(config.limits.in_flight.as_u64());
        let metrics = Metrics::unseen(&budget);
        let (calls, stop) = (Arc::<Calls>::default(), Arc::<Stop>::default());
        let pipeline = Pipeline::start(&config, live, None, Answers(Arc::clone(&calls)), &metrics, &stop)?;
        let (live, columns) = (Arc::clone(live), Columns::new(&config));
        Ok(Self { live, columns, pipeline, budget, calls, stop, next: AtomicI32::new(0), topic: "tables".into() })
    }

    /// The names of a table's columns that are read; it may have others.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        self.columns.names()
    }

    /// How tags are written, in columns of such a name.
    ///
    /// # Errors
    /// When two of them are of one name.
    pub fn tags(&self, name: &str, flat: bool) -> Result<Schema> {
        let tags = Schema::new(name, flat, &self.live.current());
        if flat {
            tags.flat_names()?;
        }
        let refused = refused(name);
        let is_taken = tags.fields().iter().any(|field| field.name().eq_ignore_ascii_case(refused.name()));
        ensure!(!is_taken, "a tag would be in the column `{}`: give its tagger another `name`", refused.name());
        Ok(tags)
    }

    /// The tags of a table's rows, and beside them `NAME_error`: why a row could not be tagged. Both are null for a row without
    /// text. `go_on` is asked now and then; its error ends the call.
    ///
    /// # Errors
    /// When the table has no such columns, or the line is broken, or `go_on` says so.
    pub fn tag(
        &self,
        table: &RecordBatch,
        name: &str,
        flat: bool,
        go_on: impl Fn() -> Result<()>,
    ) -> Result<RecordBatch> {
        let tags = self.tags(name, flat)?;
        self.columns.check(table.schema().fields())?;
        let schema = Arc::new(TableSchema::new([tags.fields(), vec![refused(name)]].concat()));
        let mut tagged = Tagged { tags, schema, enriched: Vec::new(), why: Vec::new(), pieces: Vec::new() };
        self.run(table, &mut tagged, go_on)?;
        tagged.end_piece()?;
        Ok(concat_batches(&tagged.schema, &tagged.pieces)?)
    }

    /// Sends all rows through the line, and waits for what comes of them.
    fn run(&self, table: &RecordBatch, tagged: &mut Tagged, go_on: impl Fn() -> Result<()>) -> Result<()> {
        let call = self.call();
        let (mut fed, mut came, mut asked) = (0, 0, Instant::now());
        let mut next = || -> Result<Came> {
            loop {
                if asked.elapsed() >= PATIENCE {
                    go_on()?;
                    asked = Instant::now();
                }
                if let Ok(next) = call.came.recv_timeout(PATIENCE) {
                    return Ok(next);
                }
                if self.is_over() {
                    bail!(
                        self.stop
                            .take_failure()
                            .unwrap_or_else(|| anyhow!("the line has ended, by an error that was told before"))
                    );
                }
            }
        };
        for start in (0..table.num_rows()).step_by(ROWS) {
            let rows = table.slice(start, ROWS.min(table.num_rows() - start));
            for document in self.columns.of_table(&rows)? {
                // Whatever others have in the line, one of ours may always be in it.
                while self.budget.is_spent() && came < fed {
                    tagged.push(next()?)?;
                    came += 1;
                }
                self.feed(&call, fed, document);
                fed += 1;
            }
        }
        while came < fed {
            tagged.push(next()?)?;
            came += 1;
        }
        Ok(())
    }

    /// True once nothing can be tagged any more, since a model has failed for good.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stop.is_requested()
    }

    /// Stops the line; whoever waits for it gets an error.
    pub fn stop(&self) {
        self.stop.request();
        self.stop.abandon();
    }

    /// Stops the line, and waits until its threads have ended.
    pub fn finish(self) {
        self.stop();
        self.pipeline.finish();
    }

    fn call(&self) -> Call<'_> {
        let (send, came) = unbounded();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.calls.lock().insert(number, send);
        Call { calls: &self.calls, number, came, lease: Lease::default() }
    }

    fn feed(&self, call: &Call, row: usize, document: Vec<u8>) {
        let (topic, lease) = (Arc::clone(&self.topic), call.lease.clone());
        let origin = Origin { topic, partition: call.number, offset: row as i64, epoch: 0, seq: row as u64, lease };
        self.pipeline.feed(Envelope::begin(origin, Record::of(document), &self.budget));
    }
}

/// A table of tags, as they come: records are text, so those of a piece become columns before the next one's are there.
struct Tagged {
    tags: Schema,
    schema: Arc<TableSchema>,
    enriched: Vec<Option<Vec<u8>>>,
    why: Vec<Option<String>>,
    pieces: Vec<RecordBatch>,
}

impl Tagged {
    fn push(&mut self, came: Came) -> Result<()> {
        let (record, rejection) = came.map_or_else(|rejection| (None, Some(rejection)), |record| (record, None));
        self.enriched.push(record);
        self.why.push(rejection.map(|Rejection { class, message, .. }| format!("{class}: {message}")));
        if self.why.len() == ROWS { self.end_piece() } else { Ok(()) }
    }

    fn end_piece(&mut self) -> Result<()> {
        let mut columns = self.tags.columns(&take(&mut self.enriched))?;
        columns.push(Arc::new(StringArray::from(take(&mut self.why))) as ArrayRef);
        self.pieces.push(RecordBatch::try_new(Arc::clone(&self.schema), columns)?);
        Ok(())
    }
}

/// The column that says why a row could not be tagged.
fn refused(name: &str) -> Field {
    Field::new(format!("{name}_error"), DataType::Utf8, true)
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Sender<Came>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.lease.lose();
        self.calls.lock().remove(&self.number);
    }
}

/// The sink: each outcome goes to the call that waits for it, if it still does.
struct Answers(Arc<Calls>);

impl Sink for Answers {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        let number = outcome.origin().partition;
        let came = match outcome {
            Outcome::Enriched(envelope) => Ok(Some(envelope.body.enriched.value)),
            // As in any table: what is not there has no tags.
            Outcome::DeadLetter(envelope) if [TEXT_MISSING, TEXT_EMPTY].contains(&envelope.body.class) => Ok(None),
            Outcome::DeadLetter(envelope) => Err(envelope.body),
            Outcome::Tombstone(_) | Outcome::Filtered(_) => bail!("a row is never a tombstone, nor filtered"),
        };
        if let Some(call) = self.0.lock().get(&number) {
            let _ = call.send(came);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::thread;

    use arrow::array::{Array as _, AsArray as _};

    use super::*;

    fn tables(more: &str) -> Tables {
        let yaml =
            format!("input: {{text: [/text]}}\nmodel: {{path: tests/fixtures/tiny-distilbert, device: cpu}}\n{more}");
        let config = Config::parse(&yaml, HashMap::new(), &[]).unwrap();
        let live = Live::load(&config).unwrap();
        Tables::start(&config, &live).unwrap()
    }

    fn table(texts: Vec<Option<String>>) -> RecordBatch {
        RecordBatch::try_from_iter([("text", Arc::new(StringArray::from(texts)) as ArrayRef)]).unwrap()
    }

    fn text(number: usize) -> String {
        format!("Text {number} of Berlin and of many more words than that.").repeat(1 + number % 7)
    }

    /// A table of so many texts, from a number on.
    fn texts(from: usize, count: usize) -> RecordBatch {
        table((from..from + count).map(|number| Some(text(number))).collect())
    }

    fn why(tagged: &RecordBatch) -> &StringArray {
        tagged.column_by_name("tags_error").unwrap().as_string()
    }

    #[test]
    fn a_row_that_cannot_be_tagged_says_why_and_takes_no_other_along() {
        let tables = tables("limits: {document: 1KiB}");
        let texts = vec![Some(text(1)), Some("x".repeat(2000)), None, Some("  ".into()), Some(text(2))];
        let tagged = tables.tag(&table(texts), "tags", false, || Ok(())).unwrap();
        let tags = tagged.column_by_name("tags").unwrap();
        assert_eq!((0..5).map(|row| tags.is_valid(row)).collect::<Vec<_>>(), [true, false, false, false, true]);
        let why = why(&tagged);
        assert_eq!((0..5).map(|row| why.is_valid(row)).collect::<Vec<_>>(), [false, true, false, false, false]);
        assert!(why.value(1).starts_with("DocumentTooLarge: "), "{}", why.value(1));
        tables.finish();
    }

    #[test]
    fn tables_of_many_threads_get_their_own_tags_whatever_the_budget() {
        // Each a batch of its own: so the scores are the same to the last bit.
        let tables = tables("limits: {in_flight: 64KiB, document: 64KiB}\ncache: {size: 0}\nbatch: {tokens: 1}");
        let alone: Vec<_> = (0..3).map(|of| tables.tag(&texts(of * 50, 50), "t", true, || Ok(())).unwrap()).collect();
        thread::scope(|scope| {
            for (of, alone) in alone.iter().enumerate() {
                let tables = &tables;
                scope.spawn(move || {
                    for _ in 0..3 {
                        assert_eq!(&tables.tag(&texts(of * 50, 50), "t", true, || Ok(())).unwrap(), alone);
                    }
                });
            }
        });
        tables.finish();
    }

    #[test]
    fn a_table_of_several_pieces_has_all_rows_in_order() {
        let tables = tables("");
        let many: Vec<_> = (0..ROWS + 3).map(|row| (row % 2 == 0).then(|| text(row % 5))).collect();
        let tagged = tables.tag(&table(many), "tags", false, || Ok(())).unwrap();
        assert_eq!(tagged.num_rows(), ROWS + 3);
        let tags = tagged.column_by_name("tags").unwrap();
        assert!((0..ROWS + 3).all(|row| tags.is_valid(row) == (row % 2 == 0)));
        tables.finish();
    }

    #[test]
    fn settings_that_tables_would_pass_over_are_refused() {
        let yaml =
            "{input: {text: [/text], lenient: true}, model: {path: tests/fixtures/tiny-distilbert, device: cpu}}";
        let config = Config::parse(yaml, HashMap::new(), &[]).unwrap();
        let live = Live::load(&config).unwrap();
        let error = Tables::start(&config, &live).unwrap_err().to_string();
        assert!(error.contains("input.lenient"), "{error}");
    }

    #[test]
    fn a_call_that_is_given_up_leaves_nothing_behind() {
        let tables = tables("cache: {size: 0}");
        let many = texts(0, 20_000);
        let error = tables.tag(&many, "tags", false, || bail!("given up")).unwrap_err();
        assert_eq!(error.to_string(), "given up");
        let tagged = tables.tag(&texts(1, 1), "tags", false, || Ok(())).unwrap();
        assert!(why(&tagged).is_null(0));
        assert!(tables.calls.lock().is_empty());
        drop(many);
        let patience = Instant::now();
        while tables.budget.used() > 0 {
            assert!(
                patience.elapsed() < Duration::from_secs(20),
                "{} bytes are still in the line",
                tables.budget.used()
            );
            thread::sleep(Duration::from_millis(10));
        }
        tables.finish();
    }

    #[test]
    fn a_table_of_no_rows_has_the_columns_all_the_same() {
        let tables = tables("");
        let tagged = tables.tag(&table(Vec::new()), "tags", false, || Ok(())).unwrap();
        assert_eq!((tagged.num_rows(), tagged.num_columns()), (0, 2));
        let error = tables.tag(&table(Vec::new()).project(&[]).unwrap(), "tags", false, || Ok(())).unwrap_err();
        assert!(error.to_string().contains("no column `text`"), "{error}");
        tables.finish();
    }
}
