//! TLS, SASL and access rights on a real Apache Kafka.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

mod support;

use support::hub::Server;
use support::kafka::{Extra, Kafka, free_port, grant};
use support::line::{Line, TINY, document};
use support::pki::Authority;
use support::tagbert::{Worker, tagbert};

/// The password of all users.
const PASSWORD: &str = "correct-horse";

/// What nobody's password is.
const WRONG: &str = "battery-staple";

/// A broker that has a listener of each kind.
struct Secure {
    ca: Authority,
    /// Where certificates are signed that this broker does not trust.
    stranger: Authority,
    tls: u16,
    mutual: u16,
    sasl: u16,
    oauth: u16,
}

static SECURE: LazyLock<Secure> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("security-{}", std::process::id()));
    let [ca, stranger] = ["ca", "stranger"].map(|name| Authority::create(directory.join(name)));
    for name in ["broker", "client", "issuer"] {
        ca.sign(name);
    }
    stranger.sign("client");
    ca.openssl(&format!("pkcs8 -topk8 -in client.key -out client.locked.key -passout pass:{PASSWORD}"), b"");
    ca.write("broker.store.pem", &(ca.text("broker.key") + &ca.text("broker.pem")));
    ca.write("password", &format!("{PASSWORD}\n"));
    ca.write("wrong", &format!("{WRONG}\n"));
    let keys = ca.write("keys.json", &ca.key_set("issuer").to_string());

    let [tls, mutual, sasl, oauth] = [(); 4].map(|()| free_port());
    let login = "org.apache.kafka.common.security";
    let properties = format!(
        "\
ssl.keystore.type=PEM
ssl.keystore.location={store}
ssl.truststore.type=PEM
ssl.truststore.location={trusted}
listener.name.mutual.ssl.client.auth=required
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_plain=\"{PASSWORD}\";
listener.name.sasl.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config={login}.oauthbearer.OAuthBearerLoginModule required;
listener.name.oauth.oauthbearer.sasl.server.callback.handler.class=\
{login}.oauthbearer.OAuthBearerValidatorCallbackHandler
sasl.oauthbearer.jwks.endpoint.url=file://{keys}
sasl.oauthbearer.expected.audience=kafka
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:plain;User:scram256;User:scram512;User:oauth;User:CN=client
",
        store = ca.path("broker.store.pem"),
        trusted = ca.path("ca.pem"),
    );
    let scram = [("SCRAM-SHA-256", "scram256"), ("SCRAM-SHA-512", "scram512"), ("SCRAM-SHA-512", "limited")];
    let user = |(mechanism, name)| format!("--add-scram {mechanism}=[name={name},password={PASSWORD}] ");
    Kafka::shared_with(|| Extra {
        listeners: vec![
            ("TLS", "SSL", tls),
            ("MUTUAL", "SSL", mutual),
            ("SASL", "SASL_SSL", sasl),
            ("OAUTH", "SASL_SSL", oauth),
        ],
        properties,
        format: scram.map(user).concat(),
        java: vec![format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{keys}")],
    });
    Secure { ca, stranger, tls, mutual, sasl, oauth }
});

/// `--set` arguments: the broker's port, the authority, and these properties.
fn sets(port: u16, properties: &[(&str, &str)]) -> Vec<String> {
    let ca = SECURE.ca.path("ca.pem");
    let given = |name: &str| properties.iter().any(|(given, _)| *given == name);
    let ca = Some(("ssl.ca.location", ca.as_str())).filter(|(name, _)| !given(name));
    let properties = properties.iter().copied().chain(ca).filter(|(_, value)| !value.is_empty());
    let properties = properties.map(|(name, value)| format!("kafka.properties.{name}={value}"));
    let all = properties.chain([format!("kafka.brokers=127.0.0.1:{port}")]);
    all.flat_map(|set| ["--set".to_owned(), set]).collect()
}

/// SASL with the password in this file.
fn sasl<'a>(mechanism: &'a str, user: &'a str, password_file: &'a str) -> Vec<(&'a str, &'a str)> {
    let protocol = ("security.protocol", "SASL_SSL");
    vec![protocol, ("sasl.mechanism", mechanism), ("sasl.username", user), ("sasl.password_file", password_file)]
}

/// A bounded run with these properties tags all there is; gives its log.
fn tags(name: &'static str, port: u16, properties: &[(&str, &str)]) -> String {
    let line = Line::create(name, 1);
    line.produce(vec![document("Angela Merkel met Tim Cook in Berlin."); 20]);
    let sets = sets(port, properties);
    let args: Vec<_> = ["--until-end"].into_iter().chain(sets.iter().map(String::as_str)).collect();
    let mut worker = Worker::start(&line.yaml(TINY), &args);
    worker.wait_for_success();
    assert_eq!(line.tagged().len(), 20);
    line.assert_committed_to_the_end();
    assert!(!worker.log().contains(PASSWORD), "{}", worker.log());
    worker.log()
}

/// `run` and `check` with these properties end soon with exit code 1, one error that has `expected`, and no password.
fn is_refused(port: u16, properties: &[(&str, &str)], expected: &[&str]) {
    let brokers = Kafka::shared().brokers();
    let yaml = format!("kafka: {{brokers: '{brokers}', group: refused}}\nmodel: {{path: {TINY}}}\n");
    let sets = sets(port, properties);
    let args: Vec<_> = sets.iter().map(String::as_str).collect();
    let since = Instant::now();
    let mut worker = Worker::start(&yaml, &args);
    assert_eq!(worker.wait().code(), Some(1), "{properties:?}: {}", worker.log());
    assert!(since.elapsed() < Duration::from_mins(1), "{properties:?}: took {:?}", since.elapsed());
    let log = worker.log();
    let said: Vec<_> = log.lines().filter(|line| line.starts_with("tagbert: ")).collect();
    let [said] = said[..] else { panic!("{properties:?}: {log}") };
    eprintln!("{said}");
    for expected in expected {
        assert!(said.contains(expected), "{properties:?}: no {expected} in {said}");
    }
    let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("refused-{}-{port}.yaml", std::process::id()));
    std::fs::write(&config, yaml).unwrap();
    let args: Vec<_> = ["check", "--config", config.to_str().unwrap()].into_iter().chain(args).collect();
    let check = tagbert(&args, b"");
    assert_eq!(check.status.code(), Some(1));
    let printed = [check.stdout, check.stderr, worker.stdout().into_bytes(), log.into_bytes()].concat();
    let printed = String::from_utf8(printed).unwrap();
    let base64 = BASE64_STANDARD.encode(WRONG);
    for secret in [WRONG, &base64, PASSWORD] {
        assert!(!printed.contains(secret), "{properties:?}: {printed}");
    }
}

/// Where to look: the end of each of these errors.
const HINT: &str = "look at `security.protocol`, `sasl.*` and `ssl.*` of kafka.properties";

#[test]
fn a_broker_is_trusted_by_the_authority_that_signed_its_certificate_and_by_no_other() {
    let protocol = ("security.protocol", "SSL");
    tags("secure-tls", SECURE.tls, &[protocol]);
    let stranger = SECURE.stranger.path("ca.pem");
    is_refused(SECURE.tls, &[protocol, ("ssl.ca.location", &stranger)], &["certificate verify failed", HINT]);
    is_refused(SECURE.tls, &[protocol, ("ssl.ca.location", "")], &["certificate verify failed", HINT]);
    // What a broker makes of the wrong protocol is a closed connection, and nothing more.
    is_refused(SECURE.tls, &[], &["no answer", "security.protocol"]);
}

#[test]
fn a_broker_that_asks_for_a_certificate_gets_it_and_refuses_who_has_none() {
    let ca = &SECURE.ca;
    let (protocol, certificate) = ("security.protocol", ca.path("client.pem"));
    let (key, locked, password) = (ca.path("client.key"), ca.path("client.locked.key"), ca.path("password"));
    let mine = [(protocol, "SSL"), ("ssl.certificate.pem_file", certificate.as_str())];
    tags("secure-mutual", SECURE.mutual, &[mine.as_slice(), &[("ssl.key.pem_file", &key)]].concat());
    let locked = [("ssl.key.location", locked.as_str()), ("ssl.key.password_file", &password)];
    let located = [(protocol, "SSL"), ("ssl.certificate.location", &certificate)];
    tags("secure-locked", SECURE.mutual, &[located.as_slice(), &locked].concat());
    is_refused(SECURE.mutual, &[(protocol, "SSL")], &["certificate", HINT]);
    let (certificate, key) = (SECURE.stranger.path("client.pem"), SECURE.stranger.path("client.key"));
    let theirs = [("ssl.certificate.location", certificate.as_str()), ("ssl.key.location", &key)];
    is_refused(SECURE.mutual, &[[(protocol, "SSL")].as_slice(), &theirs].concat(), &[HINT]);
}

#[test]
fn each_mechanism_of_sasl_logs_in_with_the_right_password_and_gives_up_with_a_wrong_one() {
    let (password, wrong) = (SECURE.ca.path("password"), SECURE.ca.path("wrong"));
    for (name, mechanism, user) in [
        ("secure-plain", "PLAIN", "plain"),
        ("secure-scram256", "SCRAM-SHA-256", "scram256"),
        ("secure-scram512", "SCRAM-SHA-512", "scram512"),
    ] {
        tags(name, SECURE.sasl, &sasl(mechanism, user, &password));
        is_refused(SECURE.sasl, &sasl(mechanism, user, &wrong), &["uthentication failed", HINT]);
    }
    is_refused(SECURE.sasl, &sasl("SCRAM-SHA-512", "nobody", &password), &["uthentication failed", HINT]);
    is_refused(SECURE.oauth, &sasl("PLAIN", "plain", &password), &["OAUTHBEARER", HINT]);
}

#[test]
fn a_token_is_fetched_from_an_oidc_provider_and_a_wrong_secret_or_signature_is_refused() {
    let issue = |key: &'static str| {
        async move |request: Request| {
            let right = format!("Basic {}", BASE64_STANDARD.encode(format!("tagbert:{PASSWORD}")));
            if request.headers().get(header::AUTHORIZATION).is_none_or(|given| given != &right) {
                return (StatusCode::UNAUTHORIZED, json!({ "error": "invalid_client" }).to_string()).into_response();
            }
            let token = SECURE.ca.token(key, "oauth");
            let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 600 });
            ([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
        }
    };
    let provider =
        Server::start(Router::new().route("/token", post(issue("issuer"))).route("/forged", post(issue("client"))));
    let url = |path: &str| format!("http://{}/{path}", provider.address);
    let (password, wrong, good, forged) =
        (SECURE.ca.path("password"), SECURE.ca.path("wrong"), url("token"), url("forged"));
    let with = |secret_file, url| {
        [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.method", "oidc"),
            ("sasl.oauthbearer.client.id", "tagbert"),
            ("sasl.oauthbearer.client.secret_file", secret_file),
            ("sasl.oauthbearer.token.endpoint.url", url),
        ]
    };
    tags("secure-oidc", SECURE.oauth, &with(password.as_str(), good.as_str()));
    is_refused(SECURE.oauth, &with(&wrong, &good), &["invalid_client", HINT]);
    is_refused(SECURE.oauth, &with(&password, &forged), &["invalid_token", HINT]);
}

#[test]
fn the_documented_rights_are_enough() {
    let limited = SECURE.ca.path("password");
    let limited = sasl("SCRAM-SHA-512", "limited", &limited);
    let brokers = Kafka::shared().brokers();
    let rights = |name: &str| {
        [
            format!("TOPIC:{name}:LITERAL:READ"),
            format!("TOPIC:{name}.tagged:LITERAL:WRITE"),
            format!("TOPIC:{name}.dead:LITERAL:WRITE"),
            format!("GROUP:{name}:LITERAL:READ"),
        ]
    };
    grant(brokers, "limited", &rights("secure-rights"));
    tags("secure-rights", SECURE.sasl, &limited);

    let transactions =
        ["WRITE", "DESCRIBE"].map(|right| format!("TRANSACTIONAL_ID:secure-rights-once-:PREFIXED:{right}"));
    grant(brokers, "limited", &[rights("secure-rights-once").as_slice(), &transactions].concat());
    let line = Line::create("secure-rights-once", 1);
    line.produce(vec![document("Angela Merkel met Tim Cook in Berlin."); 20]);
    let sets = sets(SECURE.sasl, &limited);
    let args = ["--until-end", "--set", "delivery=exactly-once"];
    let args: Vec<_> = args.into_iter().chain(sets.iter().map(String::as_str)).collect();
    Worker::start(&line.yaml(TINY), &args).wait_for_success();
    assert_eq!(line.tagged().len(), 20);
    line.assert_committed_to_the_end();
}

#[test]
fn a_job_counts_its_dead_letters_by_the_documented_rights_and_says_so_if_it_may_not() {
    let limited = SECURE.ca.path("password");
    let sets = sets(SECURE.sasl, &sasl("SCRAM-SHA-512", "limited", &limited));
    let job = |name: &'static str, more: &[String]| {
        let line = Line::create(name, 1);
        line.produce([document("Angela Merkel met Tim Cook in Berlin."), b"no document".to_vec()]);
        let rights = [
            format!("TOPIC:{name}:LITERAL:READ"),
            format!("TOPIC:{name}.tagged:LITERAL:WRITE"),
            format!("TOPIC:{name}.dead:LITERAL:WRITE"),
            format!("GROUP:{name}-job-:PREFIXED:READ"),
        ];
        grant(Kafka::shared().brokers(), "limited", &[rights.as_slice(), more].concat());
        let args: Vec<_> = ["--from", "earliest"].into_iter().chain(sets.iter().map(String::as_str)).collect();
        let mut worker = Worker::start(&line.yaml(TINY), &args);
        (worker.wait().code(), worker.log())
    };
    let (code, log) = job("secure-job", &["TOPIC:secure-job.dead:LITERAL:READ".into()]);
    assert_eq!(code, Some(3), "{log}");
    let (code, log) = job("secure-job-blind", &[]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("Read on `secure-job-blind.dead`"), "{log}");
}

#[test]
fn a_right_that_is_missing_is_named() {
    let limited = SECURE.ca.path("password");
    let limited = sasl("SCRAM-SHA-512", "limited", &limited);
    let refused = |name: &'static str, rights: &[String], expected: &str| {
        let line = Line::create(name, 1);
        line.produce([document("Angela Merkel met Tim Cook in Berlin.")]);
        grant(Kafka::shared().brokers(), "limited", rights);
        let sets = sets(SECURE.sasl, &limited);
        let args: Vec<_> = ["--until-end"].into_iter().chain(sets.iter().map(String::as_str)).collect();
        let mut worker = Worker::start(&line.yaml(TINY), &args);
        assert_eq!(worker.wait().code(), Some(1));
        assert!(worker.log().contains(&format!("tagbert: {expected}")), "{}", worker.log());
    };
    let topic = |name: &str, right: &str| format!("TOPIC:{name}:LITERAL:{right}");
    let outputs =
        |name: &str| [topic(&format!("{name}.tagged"), "WRITE"), topic(&format!("{name}.dead"), "WRITE")].to_vec();
    refused(
        "denied-topics",
        &[topic("denied-topics", "READ")],
        "output.topic: there is no topic `denied-topics.tagged`",
    );
    let group = [outputs("denied-group"), vec![topic("denied-group", "READ")]].concat();
    refused("denied-group", &group, "kafka.group: the brokers deny the group");
    let input = vec![topic("denied-input", "DESCRIBE"), "GROUP:denied-input:LITERAL:READ".into()];
    refused("denied-input", &[outputs("denied-input"), input].concat(), "input.topics: the brokers deny a topic");
    let output = [topic("denied-output.tagged", "DESCRIBE"), topic("denied-output.dead", "WRITE")];
    let input = [topic("denied-output", "READ"), "GROUP:denied-output:LITERAL:READ".into()];
    refused(
        "denied-output",
        &[output, input].concat(),
        "what came of denied-output/0@0 can't be delivered to `denied-output.tagged`: ",
    );
}
