//! Three nodes of Apache Kafka on this machine, which can be killed one by one. Workers reach them through Toxiproxy,
//! tests directly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;

use super::detour::Detour;
use super::kafka::{block_on, free_port, java};
use super::process::Process;
use super::toxiproxy::Toxiproxy;

/// How many nodes there are; each is a broker and a controller.
pub const NODES: usize = 3;

/// How long anything may take, on a machine that is busy with other things.
const TIMEOUT: Duration = Duration::from_mins(4);

/// How long one request may take, before it is tried again.
const REQUEST: Duration = Duration::from_secs(5);

/// Formats a node's folder where that is not done yet, and becomes the node.
const NODE: &str = r#"
dir=$1; java=$2; shift 2
[ -d "$dir/data" ] || "$java" "$@" kafka.tools.StorageTool format \
    --cluster-id tagbert-test-cluster-3 --config "$dir/server.properties" || exit
exec "$java" "$@" kafka.Kafka "$dir/server.properties"
"#;

/// A running cluster; dropping it kills it.
pub struct Cluster {
    nodes: Vec<Node>,
    /// The network between it and the workers.
    pub network: Toxiproxy,
    folder: Folder,
}

struct Node {
    dir: PathBuf,
    workers: u16,
    direct: u16,
    /// `None` while it is down.
    process: Option<Process>,
}

impl Cluster {
    /// Starts one, and waits until all its nodes are there.
    pub fn start() -> Self {
        let libs = super::root().join(".cache/kafka/libs");
        assert!(libs.is_dir(), "no Apache Kafka in {}: run scripts/setup.sh kafka, or make test", libs.display());
        let folder = Folder::create();
        let ports: Vec<Ports> = (0..NODES).map(|_| Ports::find()).collect();
        let network = ports.iter().map(|ports| (ports.proxy, ports.workers)).collect::<Vec<_>>();
        let network = Toxiproxy::start(&network, &folder.0.join("toxiproxy.log"));
        let mut cluster = Self { nodes: Vec::new(), network, folder };
        for (n, own) in ports.iter().enumerate() {
            let dir = cluster.folder.0.join(format!("node-{n}"));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("server.properties"), properties(n, own, &ports, &dir)).unwrap();
            cluster.nodes.push(Node { dir, workers: own.workers, direct: own.direct, process: None });
            cluster.start_node(n);
        }
        cluster.wait_until_whole();
        cluster
    }

    /// The bootstrap addresses behind the network that can be made bad.
    pub fn brokers_for_workers(&self) -> String {
        self.nodes.iter().map(|node| fs::read_to_string(node.dir.join("proxy")).unwrap()).collect::<Vec<_>>().join(",")
    }

    /// Has the workers' connections take a detour from now on.
    pub fn take_detour(&self) -> Detour {
        let detour = Detour::to(&self.nodes.iter().map(|node| node.workers).collect::<Vec<_>>());
        detour.ports.iter().enumerate().for_each(|(n, port)| self.network.lead_to(n, *port));
        detour
    }

    /// Has them go straight again.
    pub fn leave(&self, detour: Detour) {
        self.nodes.iter().enumerate().for_each(|(n, node)| self.network.lead_to(n, node.workers));
        drop(detour);
    }

    /// The configuration of a client that reaches the nodes directly, to be completed.
    pub fn client(&self) -> ClientConfig {
        let brokers: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.direct)).collect();
        let mut config = ClientConfig::new();
        // Silent: nodes that are down are what the tests are about.
        config.set("bootstrap.servers", brokers.join(",")).set("log_level", "0").set("reconnect.backoff.max.ms", "500");
        config
    }

    /// Kills a node (`KILL`), or asks it to shut down (`TERM`), and waits until it is gone.
    pub fn stop_node(&mut self, n: usize, signal: &str) {
        let mut process = self.nodes[n].process.take().expect("the node is up");
        process.signal(signal);
        let deadline = Instant::now() + TIMEOUT;
        while process.ended().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts a node that is down.
    pub fn start_node(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let classes = super::root().join(".cache/kafka/libs/*");
        let (dir, java) = (node.dir.to_str().unwrap(), java());
        let command = ["sh", "-c", NODE, "sh", dir, java.to_str().unwrap()];
        // Small, and quick to start: the tests move megabytes, not gigabytes.
        let options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN", "-cp"];
        let command: Vec<&str> = command.into_iter().chain(options).chain(classes.to_str()).collect();
        node.process = Some(Process::start(&command, &node.dir.join("out.log")));
    }

    /// Where a node keeps its records.
    pub fn data(&self, n: usize) -> PathBuf {
        self.nodes[n].dir.join("data")
    }

    /// Whether a node that nobody has stopped has ended.
    pub fn has_ended(&mut self, n: usize) -> bool {
        self.nodes[n].process.as_mut().is_some_and(|process| process.ended().is_some())
    }

    /// Waits until every node is up, and every partition has all its replicas in sync. A node that finds its controller
    /// too slow while it starts gives up, and is started again.
    pub fn wait_until_whole(&mut self) {
        let deadline = Instant::now() + TIMEOUT;
        while !self.is_whole() {
            for n in 0..NODES {
                let node = &mut self.nodes[n];
                let ended = node.process.as_mut().and_then(Process::ended);
                assert!(
                    Instant::now() < deadline,
                    "a node of Apache Kafka does not come up, {ended:?}: {}",
                    tail(&node.dir.join("out.log"))
                );
                if ended.is_some() {
                    self.start_node(n);
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn is_whole(&self) -> bool {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let Ok(metadata) = consumer.fetch_metadata(None, REQUEST) else { return false };
        metadata.brokers().len() == NODES
            && metadata
                .topics()
                .iter()
                .flat_map(rdkafka::metadata::MetadataTopic::partitions)
                .all(|partition| partition.isr().len() == partition.replicas().len() && partition.leader() >= 0)
    }

    /// The node that leads a topic's first partition.
    pub fn leader(&self, topic: &str) -> Option<usize> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), REQUEST).ok()?;
        usize::try_from(metadata.topics().first()?.partitions().first()?.leader()).ok()
    }

    /// Creates a topic on all nodes; a write needs two of them.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(NODES as i32));
        self.administer(&format!("create {name}"), |admin, options| {
            let results = block_on(admin.create_topics([&topic], options))?;
            // It may be there since an earlier try, whose reply was late.
            Ok(results.into_iter().all(|result| match result {
                Ok(_) => true,
                Err((_, code)) => code == rdkafka::error::RDKafkaErrorCode::TopicAlreadyExists,
            }))
        });
        self.wait_for(&format!("topic {name} has leaders"), || {
            let consumer: BaseConsumer = self.client().create().unwrap();
            consumer.fetch_metadata(Some(name), REQUEST).is_ok_and(|metadata| {
                let found = metadata.topics()[0].partitions();
                found.len() as i32 == partitions && found.iter().all(|partition| partition.leader() >= 0)
            })
        });
    }

    /// Deletes a topic, and waits until no node knows it any more.
    pub fn delete_topic(&self, name: &str) {
        self.administer(&format!("delete {name}"), |admin, options| {
            block_on(admin.delete_topics(&[name], options)).map(|_| true)
        });
        self.wait_for(&format!("topic {name} is gone"), || {
            self.nodes.iter().all(|node| {
                let address = format!("127.0.0.1:{}", node.direct);
                let consumer: BaseConsumer = self.client().set("bootstrap.servers", address).create().unwrap();
                consumer
                    .fetch_metadata(None, REQUEST)
                    .is_ok_and(|metadata| metadata.topics().iter().all(|topic| topic.name() != name))
            })
        });
    }

    /// Sets one configuration of a topic, and its others to their defaults.
    pub fn configure_topic(&self, name: &str, key: &str, value: &str) {
        let alter = AlterConfig::new(ResourceSpecifier::Topic(name)).set(key, value);
        self.administer(&format!("set {key} of {name}"), |admin, options| {
            let results = block_on(admin.alter_configs([&alter], options))?;
            Ok(results.iter().all(Result::is_ok))
        });
    }

    fn administer(
        &self,
        what: &str,
        request: impl Fn(&AdminClient<DefaultClientContext>, &AdminOptions) -> KafkaResult<bool>,
    ) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST));
        self.wait_for(what, || request(&admin, &options).unwrap_or(false));
    }

    #[expect(clippy::unused_self, reason = "it waits for the cluster")]
    fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !holds() {
            assert!(Instant::now() < deadline, "the cluster did not: {what}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The end offset of each partition; `None` where it can't be told now.
    pub fn end_offsets(&self, topic: &str, partitions: i32) -> Option<Vec<i64>> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        (0..partitions).map(|n| consumer.fetch_watermarks(topic, n, REQUEST).ok().map(|(_, end)| end)).collect()
    }

    /// What a group has committed in each partition, 0 where nothing; `None` where it can't be told now.
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> Option<Vec<i64>> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions - 1);
        let answer = consumer.committed_offsets(asked, REQUEST).ok()?;
        let answer = answer.elements();
        answer.iter().map(|one| one.error().is_ok().then(|| one.offset().to_raw().unwrap_or(0).max(0))).collect()
    }
}

struct Ports {
    proxy: u16,
    workers: u16,
    direct: u16,
    controller: u16,
}

impl Ports {
    fn find() -> Self {
        Self { proxy: free_port(), workers: free_port(), direct: free_port(), controller: free_port() }
    }
}

/// The cluster's folder, which goes with the test process, however that ends.
struct Folder(PathBuf, Child);

impl Folder {
    fn create() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let janitor = Command::new("sh")
            .args(["-c", "trap '' INT; cat >/dev/null; sleep 1; rm -rf \"$1\"", "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn();
        Self(path, janitor.unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.1.wait();
    }
}

fn tail(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let start = log.lines().count().saturating_sub(20);
    log.lines().skip(start).collect::<Vec<_>>().join("\n")
}

fn properties(n: usize, own: &Ports, all: &[Ports], dir: &Path) -> String {
    let Ports { proxy, workers, direct, controller } = own;
    fs::write(dir.join("proxy"), format!("127.0.0.1:{proxy}")).unwrap();
    let voters: Vec<_> = all.iter().enumerate().map(|(n, one)| format!("{n}@127.0.0.1:{}", one.controller)).collect();
    format!(
        "\
node.id={n}
process.roles=broker,controller
listeners=WORKERS://127.0.0.1:{workers},DIRECT://127.0.0.1:{direct},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=WORKERS://127.0.0.1:{proxy},DIRECT://127.0.0.1:{direct}
listener.security.protocol.map=WORKERS:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=DIRECT
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
log.dirs={data}

# A missing topic has to be noticed.
auto.create.topics.enable=false

# As in production: three replicas, and a write is safe on two.
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
unclean.leader.election.enable=false

# One partition: whoever leads it is the coordinator of every group, or of every transaction.
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000

# Tests need not wait for members, and notice quickly that a node or a member is gone.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=5000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
",
        voters = voters.join(","),
        data = dir.join("data").display(),
    )
}
