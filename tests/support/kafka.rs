//! A real Apache Kafka on this machine: one node, broker and controller in one
//! process, on loopback ports of its own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Message, Offset, TopicPartitionList};

/// How long the broker may take to start, and any one request to be answered.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Formats the broker's folder and runs the broker until standard input ends.
///
/// The other end of standard input is held by the test process alone. So the
/// broker dies with it and its folder goes, however it ends: no destructor runs
/// for a static, nor after a kill -9.
const SUPERVISOR: &str = r#"
dir=$1; java=$2; shift 2
set -f # the users of SCRAM are in brackets
trap '' INT # Ctrl-C ends the test process, and by that the broker
exec 3<&0 </dev/null
{
    "$java" "$@" kafka.tools.StorageTool format --standalone \
        --cluster-id tagbert-test-cluster-1 --config "$dir/server.properties" $FORMAT &&
        exec "$java" "$@" kafka.Kafka "$dir/server.properties"
} 3<&- &
broker=$!
{ cat <&3 >/dev/null; kill -KILL $broker; } &
watchdog=$!
exec 3<&-
wait $broker
if [ $? -eq 137 ]; then rm -rf "$dir"; else kill $watchdog; fi
"#;

/// What a broker has beyond its plain listener.
#[derive(Default)]
pub struct Extra {
    /// Listeners: name, protocol and port.
    pub listeners: Vec<(&'static str, &'static str, u16)>,
    /// Further lines of `server.properties`.
    pub properties: String,
    /// Further arguments of the format, without blanks: users of SCRAM are made by it.
    pub format: String,
    /// Further arguments of Java.
    pub java: Vec<String>,
}

/// The broker of [`Kafka::shared`].
static SHARED: OnceLock<Kafka> = OnceLock::new();

/// A running broker; dropping it kills it.
pub struct Kafka {
    brokers: String,
    supervisor: Child,
}

impl Kafka {
    /// The one broker of this test binary, started by whoever asks first.
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start)
    }

    /// The same, for a test binary whose one broker is to have more: all its tests ask like this.
    pub fn shared_with(extra: impl FnOnce() -> Extra) -> &'static Self {
        SHARED.get_or_init(|| Self::start_with(&extra()))
    }

    /// A broker of one's own, for tests that harm it.
    pub fn start() -> Self {
        Self::start_with(&Extra::default())
    }

    /// One that has more than a plain listener.
    pub fn start_with(extra: &Extra) -> Self {
        let libs = super::root().join(".cache/kafka/libs");
        assert!(libs.is_dir(), "no Apache Kafka in {}: run scripts/setup.sh kafka, or make test", libs.display());

        let (port, controller_port) = (free_port(), free_port());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kafka-{}-{port}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("server.properties"), properties(port, controller_port, &dir, extra)).unwrap();
        let log = File::create(dir.join("out.log")).unwrap();

        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(&dir)
            .arg(java())
            // Small, and quick to start: the tests move megabytes, not gigabytes.
            .args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(&extra.java)
            .args(["-Dlog4j2.level=WARN", "-cp"])
            .arg(libs.join("*"))
            .env("FORMAT", &extra.format)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();

        let mut kafka = Self { brokers: format!("127.0.0.1:{port}"), supervisor };
        kafka.wait_until_ready(&dir.join("out.log"));
        kafka
    }

    /// The bootstrap address, `127.0.0.1:PORT`.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The configuration of a client of this broker, to be completed.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Creates a topic; it must not exist yet.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// Creates a topic with configurations of its own.
    pub fn create_topic_with(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = configs.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        for result in block_on(admin.create_topics([&topic], &options)).unwrap() {
            result.unwrap_or_else(|(topic, e)| panic!("topic {topic} not created: {e}"));
        }
    }

    /// Deletes a topic, with all that is in it.
    pub fn delete_topic(&self, name: &str) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        for result in block_on(admin.delete_topics(&[name], &options)).unwrap() {
            result.unwrap_or_else(|(topic, e)| panic!("topic {topic} not deleted: {e}"));
        }
    }

    /// Writes records, and returns once the broker has acknowledged each of them.
    pub fn produce<'a>(&self, records: impl IntoIterator<Item = BaseRecord<'a, [u8], [u8]>>) {
        let producer: BaseProducer<FirstError> =
            self.client().set("linger.ms", "5").create_with_context(FirstError::default()).unwrap();
        for mut record in records {
            while let Err((e, refused)) = producer.send(record) {
                let full = e == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                assert!(full, "record not sent: {e}");
                producer.poll(Duration::from_millis(10));
                record = refused;
            }
        }
        producer.flush(TIMEOUT).unwrap();
        if let Some(e) = producer.context().take() {
            panic!("record not delivered: {e}");
        }
    }

    /// Every record of a topic that a `read_committed` reader sees, by partition
    /// and offset.
    pub fn read_committed(&self, topic: &str) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "read-committed")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let mut open = self.partitions(topic).len();
        let mut assignment = TopicPartitionList::new();
        for partition in self.partitions(topic) {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();

        let mut records = Vec::new();
        while open > 0 {
            match consumer.poll(TIMEOUT) {
                Some(Ok(record)) => records.push(record.detach()),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(e)) => panic!("reading {topic}: {e}"),
                None => panic!("reading {topic}: nothing in {TIMEOUT:?}"),
            }
        }
        records.sort_by_key(|record| (record.partition(), record.offset()));
        records
    }

    /// The end offset of each partition. (Transactions leave markers, which count.)
    pub fn end_offsets(&self, topic: &str) -> Vec<i64> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        self.partitions(topic)
            .map(|partition| consumer.fetch_watermarks(topic, partition, TIMEOUT).unwrap().1)
            .collect()
    }

    /// What a group has committed in each partition, if anything.
    pub fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        for partition in self.partitions(topic) {
            asked.add_partition(topic, partition);
        }
        // The group's coordinator may not be there yet.
        let deadline = Instant::now() + TIMEOUT;
        let answer = loop {
            match consumer.committed_offsets(asked.clone(), TIMEOUT) {
                Ok(answer) => break answer,
                Err(error) => assert!(Instant::now() < deadline, "committed offsets of {group}: {error}"),
            }
            thread::sleep(Duration::from_millis(100));
        };
        answer.elements().iter().map(|partition| partition.offset().to_raw().filter(|&offset| offset >= 0)).collect()
    }

    /// The numbers of a topic's partitions.
    fn partitions(&self, topic: &str) -> std::ops::Range<i32> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        assert!(partitions > 0, "no such topic: {topic}");
        0..i32::try_from(partitions).unwrap()
    }

    /// Waits for the broker to answer, and to know itself: until then it refuses topics.
    fn wait_until_ready(&mut self, log: &Path) {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let metadata = consumer.fetch_metadata(None, Duration::from_millis(500));
            if metadata.is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                return;
            }
            let ended = self.supervisor.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(log).unwrap_or_default();
                let start = log.lines().count().saturating_sub(30);
                let tail: Vec<&str> = log.lines().skip(start).collect();
                panic!("Apache Kafka did not start:\n{}", tail.join("\n"));
            }
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // The supervisor takes the end of its input for an order to kill the broker.
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

fn properties(port: u16, controller_port: u16, dir: &Path, extra: &Extra) -> String {
    let address = |(name, _, port): &(&str, &str, u16)| format!(",{name}://127.0.0.1:{port}");
    let addresses: String = extra.listeners.iter().map(address).collect();
    let protocols: String = extra.listeners.iter().map(|(name, protocol, _)| format!(",{name}:{protocol}")).collect();
    format!(
        "\
node.id=1
process.roles=broker,controller
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{addresses}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{addresses}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={data}

# A missing topic has to be noticed.
auto.create.topics.enable=false

# One node can't replicate, and fifty partitions of offsets only slow the start.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000

# Tests need not wait for members, and may notice quickly that one is gone.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=500
group.consumer.min.session.timeout.ms=1000
{more}
",
        data = dir.join("data").display(),
        more = extra.properties,
    )
}

/// Gives a user rights, each `TYPE:NAME:PATTERN:OPERATION`: the client library can't.
pub fn grant(brokers: &str, user: &str, rights: &[String]) {
    let root = super::root();
    let output = Command::new(java())
        .args(["-XX:TieredStopAtLevel=1", "-cp"])
        .arg(root.join(".cache/kafka/libs/*"))
        .arg(root.join("tests/support/Acls.java"))
        .args([brokers, user])
        .args(rights)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The Java of `JAVA_HOME`, else of the path.
pub fn java() -> PathBuf {
    std::env::var_os("JAVA_HOME").map_or_else(|| PathBuf::from("java"), |home| Path::new(&home).join("bin/java"))
}

/// A port that nobody listens on, from below the range that the kernel gives to
/// outgoing connections: none of those can take it before the broker does.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries that run at the same time start their search apart.
    let first = 20_000 + u16::try_from(std::process::id() * 16 % 11_000).unwrap();
    (0..1_000)
        .map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed))
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a free port")
}

/// Waits for a future that a thread of the client library completes: that needs
/// no runtime, so tests with and without one can call it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Keeps the first delivery that failed.
#[derive(Default)]
struct FirstError(Mutex<Option<KafkaError>>);

impl FirstError {
    fn take(&self) -> Option<KafkaError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for FirstError {}

impl ProducerContext for FirstError {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((e, _)) = result {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| e.clone());
        }
    }
}
