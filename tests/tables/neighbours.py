"""What stands around a worker, for real: Apache Kafka, Kafka Connect, the worker itself; all on loopback."""

import atexit
import ctypes
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from confluent_kafka import Consumer, IsolationLevel, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
TABLES = CACHE / "tables"
# Generous: it is for what never comes, also on a machine that is busy with other things.
TIMEOUT = 1800


@functools.cache
def folder():
    """Where everything of this run is; it goes with the run, unless KEEP is set."""
    path = Path(tempfile.mkdtemp(prefix="tagbert-tables-"))
    atexit.register(lambda: os.environ.get("KEEP") or shutil.rmtree(path, ignore_errors=True))
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def java(jars, *arguments):
    home = os.environ.get("JAVA_HOME")
    classes = ":".join(f"{place}/*" for place in jars)
    return [f"{home}/bin/java" if home else "java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN", "-cp", classes, *arguments]


def start(name, command, **environment):
    """Starts a process that dies with this one; its output is in folder()/NAME.log."""
    die_with_parent = functools.partial(ctypes.CDLL(None).prctl, 1, signal.SIGKILL)
    with (folder() / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            list(map(str, command)), stdout=log, stderr=log, cwd=folder(), preexec_fn=die_with_parent, env=os.environ | environment
        )
    atexit.register(process.kill)
    return process


def log(name):
    return (folder() / f"{name}.log").read_text(errors="replace")


def wait_for(what, condition, process=None):
    """Asks until the answer is true, and gives it."""
    deadline = time.monotonic() + TIMEOUT
    while not (answer := condition()):
        if process and process.poll() is not None:
            raise AssertionError(f"ended before there was {what}: {process.args[:1]}")
        assert time.monotonic() < deadline, f"no {what} within {TIMEOUT} s"
        time.sleep(0.05)
    return answer


@functools.cache
def kafka():
    """The brokers of a Kafka of one node."""
    port, controller = free_port(), free_port()
    properties = folder() / "server.properties"
    properties.write_text(f"""
node.id=1
process.roles=broker,controller
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
log.dirs={folder() / "kafka"}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
# On a machine that is busy with other things it is late, not dead.
broker.session.timeout.ms=120000
""")
    run = functools.partial(java, [CACHE / "kafka" / "libs"])
    format_log = run("kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", "tagbert-tables-cluster", "--config", properties)
    subprocess.run(list(map(str, format_log)), check=True, capture_output=True)
    process = start("kafka", run("kafka.Kafka", properties))
    brokers = f"127.0.0.1:{port}"
    probe = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    wait_for("broker", lambda: answers(lambda: probe.list_topics(timeout=1).brokers), process)
    return brokers


@functools.cache
def registry():
    """The address of a schema registry that keeps its schemas in memory."""
    port = free_port()
    settings = [f"-Dquarkus.http.port={port}", "-Dquarkus.http.host=127.0.0.1", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    # Otherwise it takes port 9000 besides, of all addresses, and two of them can't be.
    settings += ["-Dquarkus.management.port=0", "-Dquarkus.management.host=127.0.0.1"]
    process = start("registry", [java_21(), *settings, "-jar", CACHE / "registry" / "quarkus-run.jar"])
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    wait_for("registry", lambda: answers(lambda: urllib.request.urlopen(f"{url}/subjects", timeout=1).status), process)
    return url


@functools.cache
def java_21():
    """A Java that is new enough for the registry: the usual one, or one beside it; None if there is none."""
    for java in ["java", *Path("/usr/lib/jvm").glob("*/bin/java")]:
        said = answers(lambda: subprocess.run([java, "--version"], check=True, capture_output=True, text=True).stdout)  # noqa: B023
        if said and int(said.split()[1].split(".")[0]) >= 21:
            return java
    return None


def register(subject, schema):
    """The number of a schema, once it is registered."""
    request = urllib.request.Request(f"{registry()}/subjects/{subject}/versions", json.dumps({"schema": schema}).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        return json.load(response)["id"]


def serializers(script, *arguments):
    """The lines that a script of tests/formats_neighbours prints, by serializers that are not ours."""
    command = [CACHE / "registry-venv" / "bin" / "python", ROOT / "tests" / "formats_neighbours" / script, *arguments]
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def answers(question):
    try:
        return question()
    except Exception:  # noqa: BLE001  whatever a service that is not up yet answers with
        return None


def create_topics(*names, parts=2):
    # Retention goes by the records' timestamps, and those are the documents'.
    names = set(names) - set(admin().list_topics(timeout=TIMEOUT).topics)
    topics = [NewTopic(name, parts, 1, config={"retention.ms": "-1"}) for name in names]
    for created in (admin().create_topics(topics) if topics else {}).values():
        created.result(TIMEOUT)


def produce(topic, values, **place):
    """Writes values by their keys; None is a tombstone."""
    producer = Producer({"bootstrap.servers": kafka()})
    for key, value in values.items():
        producer.produce(topic, value, key, **place)
    assert producer.flush(TIMEOUT) == 0, f"{topic}: not all was written"


def read(topic, isolation="read_committed"):
    """All records of a topic up to its end, as a reader with this isolation sees it; transactions have to be over."""
    # A commit is acknowledged before its markers are written, and a reader ends before a transaction without them.
    wait_for(f"end of the transactions of {topic}", lambda: ends(topic, IsolationLevel.READ_COMMITTED) == ends(topic))
    options = {"group.id": "reader", "isolation.level": isolation, "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({"bootstrap.servers": kafka(), **options})
    left = set(partitions(topic))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
    records = []
    while left:
        record = consumer.poll(TIMEOUT)
        # A tombstone is false.
        assert record is not None, f"nothing from {topic}"
        if not record.error():
            records.append(record)
        elif record.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  it is how the library names it
            left.discard(record.partition())
        else:
            raise AssertionError(f"{topic}: {record.error()}")
    consumer.close()
    return records


@functools.cache
def admin():
    # It outlives the broker, which is no news.
    return AdminClient({"bootstrap.servers": kafka(), "log_level": 0})


def partitions(topic):
    return admin().list_topics(topic, TIMEOUT).topics[topic].partitions


def ends(topic, isolation=IsolationLevel.READ_UNCOMMITTED):
    """The sum of a topic's end offsets: what is written; or what a reader of committed records gets to."""
    asked = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in partitions(topic)}
    answers = admin().list_offsets(asked, isolation_level=isolation, request_timeout=TIMEOUT)
    return sum(answer.result(TIMEOUT).offset for answer in answers.values())


def program():
    return os.environ.get("TAGBERT", ROOT / "target" / "release" / "tagbert")


def worker(configuration, *arguments):
    """The command of a tagbert worker."""
    file = folder() / "tagbert.yaml"
    file.write_text(json.dumps(configuration))
    return [program(), "run", "--config", file, *arguments]


class Connect:
    """A standalone Kafka Connect, with deploy/connect/worker.properties but for its addresses and paths, and what is changed."""

    def __init__(self, name, **changes):
        self.name = name
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        shipped = (ROOT / "deploy" / "connect" / "worker.properties").read_text()
        self.properties = folder() / f"{name}.properties"
        self.properties.write_text(f"""{shipped}
bootstrap.servers={kafka()}
listeners={self.url}
plugin.path={TABLES / "plugins"}
offset.storage.file.filename={folder() / f"{name}.offsets"}
""" + "".join(f"{key.replace('_', '.')}={value}\n" for key, value in changes.items()))
        self.start()

    def start(self):
        jars = [TABLES / "connect"]
        self.process = start(self.name, java(jars, "org.apache.kafka.connect.cli.ConnectStandalone", self.properties))
        wait_for("Kafka Connect", lambda: answers(lambda: self.call("GET", "/connectors")) is not None, self.process)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                return json.loads(response.read() or "null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from error

    def failures(self, name):
        """What its tasks died of."""
        status = self.call("GET", f"/connectors/{name}/status")
        return [task["trace"] for task in status["tasks"] if task["state"] == "FAILED"]


def shipped_connector(name, **changes):
    """A configuration of deploy/connect, but for what is changed."""
    connector = json.loads((ROOT / "deploy" / "connect" / f"{name}.json").read_text())
    connector["config"].update(changes)
    return connector
