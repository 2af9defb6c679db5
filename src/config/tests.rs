mod mistakes;
mod report;
mod texts;

use std::collections::HashMap;

use super::*;

pub(super) fn parse(yaml: &str, environment: &[(&str, &str)], sets: &[&str]) -> Result<Config, String> {
    let environment: HashMap<_, _> = environment.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    let sets: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
    Config::parse(yaml, environment, &sets).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = parse("", &[], &[]).unwrap();
    assert_eq!(config.kafka.brokers, "localhost:9092");
    assert_eq!(config.input.text, ["/subject", "/body"]);
    assert_eq!(config.batch.wait, Duration::from_millis(20));
    assert_eq!(config.limits.in_flight, ByteSize::mib(64));
}

#[test]
fn set_beats_environment_beats_file_beats_default() {
    let yaml = "kafka: {brokers: 'file:1', group: file}\nbatch: {tokens: 1}";
    let environment = [("TAGBERT__KAFKA__BROKERS", "env:1"), ("TAGBERT__BATCH__TOKENS", "2"), ("HOME", "/")];
    let config = parse(yaml, &environment, &["batch.tokens=3", "input.topics=[a, b]", "batch.wait=1s"]).unwrap();
    assert_eq!((config.kafka.brokers.as_str(), config.kafka.group.as_str()), ("env:1", "file"));
    assert_eq!((config.batch.tokens, config.batch.wait), (3, Duration::from_secs(1)));
    assert_eq!(config.input.topics, ["a", "b"]);
}

#[test]
fn no_number_in_a_key_makes_a_list_that_fills_the_memory() {
    let refused = |found: Result<Config, String>, place: &str| {
        let error = found.unwrap_err();
        assert!(error.contains(place) && error.contains("`taggers` has an element with a number"), "{error}");
    };
    for number in ["99999999999", "-99999999999", "9223372036854775807", " 0001000 ", "-9223372036854775808"] {
        let key = format!("taggers[{number}].name");
        refused(parse("", &[], &[&format!("{key}=x")]), "--set");
        refused(parse(&format!("? \"{key}\"\n: x"), &[], &[]), "line 1");
        let variable = format!("TAGBERT__TAGGERS[{number}].NAME");
        let error = parse("", &[(&variable, "x")], &[]).unwrap_err();
        assert!(error.contains(&variable) && error.contains("has an element with a number"), "{error}");
    }
    let config = parse("", &[("HOME[99999]", "x")], &["taggers[0].name=x", "taggers[0].labels[1]=b"]);
    assert!(config.unwrap_err().contains("taggers[0].labels[0]"), "what is left out is missed");
    assert_eq!(parse("", &[], &["taggers[0].name=x"]).unwrap().taggers[0].name, "x");
}

#[test]
fn the_usual_bootstrap_variable_is_honoured() {
    let usual = ("KAFKA_BOOTSTRAP_SERVERS", "usual:1");
    assert_eq!(parse("kafka: {brokers: 'file:1'}", &[usual], &[]).unwrap().kafka.brokers, "usual:1");
    let own = ("TAGBERT__KAFKA__BROKERS", "own:1");
    assert_eq!(parse("", &[usual, own], &[]).unwrap().kafka.brokers, "own:1");
}

#[test]
fn a_variable_with_too_few_underscores_is_refused_and_not_passed_over() {
    for (variable, right) in [
        ("TAGBERT_KAFKA_GROUP", "`kafka.group` is TAGBERT__KAFKA__GROUP"),
        ("TAGBERT_KAFKA__GROUP", "`kafka.group` is TAGBERT__KAFKA__GROUP"),
        ("TAGBERT_DELIVERY", "`delivery` is TAGBERT__DELIVERY"),
        ("TAGBERT_DEAD_LETTERS_POLICY", "`dead_letters.policy` is TAGBERT__DEAD_LETTERS__POLICY"),
        ("TAGBERT_KAFKA_PROPERTIES_SASL_PASSWORD", "`kafka.properties` is TAGBERT__KAFKA__PROPERTIES"),
    ] {
        let error = parse("", &[(variable, "x")], &[]).unwrap_err();
        assert!(error.starts_with(&format!("{variable}: {right} in the environment")), "{error}");
    }
    // What Kubernetes sets for services of that name, and where copies of models go.
    let others =
        ["TAGBERT_SERVICE_HOST", "TAGBERT_PORT", "TAGBERT_HTTP_PORT", "TAGBERT_PORT_8080_TCP", "TAGBERT_CACHE"];
    parse("", &others.map(|variable| (variable, "x")), &[]).unwrap();
}

#[test]
fn a_cache_is_off_or_of_a_size_that_makes_sense() {
    let size = |size: &str| parse("", &[], &[&format!("cache.size={size}")]).map(|config| config.cache.size.as_u64());
    assert_eq!(size("0"), Ok(0));
    assert_eq!(parse("cache: {size: 64MiB}", &[], &[]).unwrap().cache.size, ByteSize::mib(64));
    assert_eq!(size("64").unwrap_err(), "--set: `cache.size` is 64 B: must be 64.0 KiB or more, or 0 for none");
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    assert_eq!(
        parse("batch: {token: 1}", &[], &[]).unwrap_err(),
        "line 1:9: unknown key `batch.token`: did you mean `batch.tokens`?"
    );
    assert_eq!(
        parse("topics: [a]", &[], &[]).unwrap_err(),
        "line 1:1: unknown key `topics`: did you mean `input.topics`?"
    );
    assert!(parse("", &[("TAGBERT__BATCH__TOKNES", "1")], &[]).unwrap_err().contains("`batch.tokens`"));
    assert!(parse("", &[], &["zzzzzzzzzzzzzzzz=1"]).unwrap_err().contains("unknown key"));
}

#[test]
fn any_property_passes_flat_or_nested() {
    let yaml = "kafka: {properties: {session.timeout.ms: 6000, check.crcs: true}}";
    let secret = ("TAGBERT__KAFKA__PROPERTIES__SASL__PASSWORD", "hunter2: #1,[x]");
    let config = parse(yaml, &[secret], &["kafka.properties.client.id=me"]).unwrap();
    let expected = [
        ("check.crcs", "true"),
        ("client.id", "me"),
        ("sasl.password", "hunter2: #1,[x]"),
        ("session.timeout.ms", "6000"),
    ];
    assert!(config.kafka.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected));
}

#[test]
fn a_property_of_a_later_layer_wins_however_it_is_written() {
    let yaml = "kafka: {properties: {linger.ms: 20, sasl: {password: old}}}";
    let environment =
        [("TAGBERT__KAFKA__PROPERTIES__LINGER__MS", "7"), ("TAGBERT__KAFKA__PROPERTIES__SASL__PASSWORD", "new")];
    let config = parse(yaml, &environment, &["kafka.properties.linger.ms=5"]).unwrap();
    assert_eq!(config.kafka.properties["linger.ms"], "5");
    assert_eq!(config.kafka.properties["sasl.password"], "new");
}

#[test]
fn properties_that_break_a_promise_are_refused_with_the_reason() {
    for (key, why) in cluster::REFUSED {
        let error = parse("", &[], &[&format!("kafka.properties.{key}=false")]).unwrap_err();
        assert!(error.contains(key) && error.contains(why), "{error}");
    }
}

#[test]
fn a_heartbeat_that_a_session_cannot_survive_is_refused() {
    let sets = |session: &str| {
        let session = format!("kafka.properties.session.timeout.ms={session}");
        parse("", &[], &[&session, "kafka.properties.heartbeat.interval.ms=3000"])
    };
    assert!(sets("3001").is_ok());
    let error = sets("3000").unwrap_err();
    assert!(error.contains("must be less than session.timeout.ms, which is 3000"), "{error}");
}

#[test]
fn values_that_cannot_work_are_refused_by_name() {
    for (set, expected) in [
        ("kafka.brokers=", "kafka.brokers"),
        (
            "kafka.properties.auto.offset.reset=earlyest",
            "did you mean `earliest`? It must be earliest, latest or error",
        ),
        ("input.text=subject", "JSON pointer"),
        ("output.topic=documents", "go round for ever"),
        ("output.dead_letters=documents.tagged", "output.dead_letters"),
        ("model.device=gpu", "no device"),
        ("model.max_tokens=2", "max_tokens"),
        ("batch.tokens=0", "batch.tokens"),
        ("batch.tokens=many", "batch.tokens"),
        ("batch.wait=soon", "batch.wait"),
        ("batch.wait=500000000000y", "batch.wait"),
        ("batch.latency_target=0s", "batch.latency_target"),
        ("batch.latency_target=2h", "batch.latency_target"),
        ("limits.in_flight=1KiB", "limits.in_flight"),
        ("http.listen=everywhere", "http.listen"),
        ("output.document=maybe", "output.document"),
        ("no-value", "KEY=VALUE"),
        ("a b=c", "KEY=VALUE"),
        ("input.topics=a,a", "twice"),
        ("input.text=/a~2", "JSON pointer"),
        ("kafka.properties=x", "must be a map"),
        ("model.watch=often", "or `off`"),
        ("shadow.sample=0.5", "path"),
        ("shadow.pth=x", "did you mean `shadow.path`?"),
    ] {
        let error = parse("", &[], &[set]).unwrap_err();
        assert!(error.contains(expected), "{set}: {error}");
    }
    assert!(parse("kafka: [", &[], &[]).is_err());
    for (yaml, expected) in [
        ("input: {format: text, id: /x}", "has no fields, and no id"),
        ("output: {shape: headers, document: drop}", "the value is the document"),
    ] {
        let error = parse(yaml, &[], &[]).unwrap_err();
        assert!(error.contains(expected), "{yaml}: {error}");
    }
}

#[test]
fn a_list_of_templates_in_one_string_is_a_list() {
    let list = r#"["{/subject}, {/day}", '/body', /a/*/b]"#;
    let expected = ["{/subject}, {/day}", "/body", "/a/*/b"];
    assert_eq!(parse("", &[], &[&format!("input.text={list}")]).unwrap().input.text, expected);
    assert_eq!(parse("", &[("TAGBERT__INPUT__TEXT", list)], &[]).unwrap().input.text, expected);
    for wrong in ["{/subject}, /body", "[{/subject}, /body]", r#"["/from: {/body}", "/body"]"#] {
        let error = parse("", &[], &[&format!("input.text={wrong}")]).unwrap_err();
        assert!(error.contains("input.text"), "{wrong}: {error}");
    }
}

#[test]
fn secrets_are_masked() {
    let sets = [
        "sasl.password=hunter2",
        "sasl.oauthbearer.assertion.private.key.passphrase=hunter2",
        "ssl.key.pem=hunter2",
        "sasl.oauthbearer.client.secret=hunter2",
        "sasl.oauthbearer.token.endpoint.url=https://me:hunter2@host/token",
        "sasl.jaas.config=password=hunter2",
        "client.id=me",
    ];
    let properties = sets.iter().map(|set| format!("kafka.properties.{set}"));
    let sets: Vec<_> = properties.chain(["http.token=hunter2".into()]).collect();
    let masked = Config::parse("", HashMap::new(), &sets).unwrap().masked();
    assert!(!masked.contains("hunter2") && masked.contains("\"client.id\": \"me\""), "{masked}");
}

/// A file with this text.
fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn any_property_and_the_token_may_come_from_a_file_and_what_it_holds_is_not_shown() {
    let (password, user, token) = (file(b"hunter2: #1\n"), file(b"somebody\r\n"), file(b"hunter3\n"));
    let [password, user, token] = [&password, &user, &token].map(|file| file.path().to_str().unwrap());
    let yaml = format!("kafka: {{properties: {{sasl.password_file: {password}}}}}\nhttp: {{token_file: {token}}}");
    let environment = [("TAGBERT__KAFKA__PROPERTIES__SASL__USERNAME_FILE", user)];
    let config = parse(&yaml, &environment, &[]).unwrap();
    assert_eq!(config.kafka.properties["sasl.password"], "hunter2: #1");
    assert_eq!(config.kafka.properties["sasl.username"], "somebody");
    assert_eq!((config.kafka.properties.len(), config.http.token.as_deref()), (2, Some("hunter3")));
    let masked = config.masked();
    assert!(!masked.contains("hunter") && !masked.contains("somebody"), "{masked}");
    for path in [password, user, token] {
        assert!(masked.contains(path), "{masked}");
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_refused_with_its_key_and_path() {
    let set = |key: &str, path: &std::path::Path| format!("{key}={}", path.display());
    let key = "kafka.properties.ssl.key.pem_file";
    let missing = std::path::Path::new("/no/such/secret");
    for (key, path, why) in [
        (key, missing, "No such file"),
        ("http.token_file", missing, "No such file"),
        (key, std::path::Path::new("/"), "directory"),
        (key, file(b"hunter2\xff").into_temp_path().as_ref(), "not UTF-8"),
        (key, file(b"\n").into_temp_path().as_ref(), "empty"),
        (key, file(&vec![b'x'; (1 << 20) + 1]).into_temp_path().as_ref(), "more than"),
    ] {
        let error = parse("", &[], &[&set(key, path)]).unwrap_err();
        assert!(error.contains(&format!("`{key}` names {}: ", path.display())) && error.contains(why), "{error}");
    }
    let (one, nul) = (file(b"hunter2"), file(b"hunter\x002"));
    let refused = |sets: &[&str], expected: &str| {
        let error = parse("", &[], sets).unwrap_err();
        assert!(error.contains(expected) && !error.contains("hunter"), "{error}");
    };
    let password = set("kafka.properties.sasl.password_file", one.path());
    refused(&[&password, "kafka.properties.sasl.password=hunter3"], "`kafka.properties.sasl.password_file` too");
    refused(&[&set("http.token_file", one.path()), "http.token=hunter3"], "`http.token_file` too");
    refused(&[&set("kafka.properties.sasl.password_file", nul.path())], "NUL");
    refused(&["http.token=hunter 2"], "visible ASCII");
    refused(&[&set("kafka.properties.enable.auto.commit_file", one.path())], "can't be set");
}

#[test]
fn the_shipped_configurations_are_valid() {
    for yaml in [
        include_str!("../../configs/demo.yaml"),
        include_str!("../../configs/local.yaml"),
        include_str!("../../configs/production.yaml"),
    ] {
        parse(yaml, &[], &[]).unwrap();
    }
}

#[test]
fn without_taggers_the_model_is_the_only_one() {
    let taggers = parse("model: {path: a, thresholds: {spam: 0.9}}", &[], &["model.variant=int8"]).unwrap().taggers();
    assert_eq!(taggers.len(), 1);
    assert_eq!((taggers[0].name.as_ref(), taggers[0].model.variant.as_deref()), (None, Some("int8")));
    assert_eq!(taggers[0].thresholds, BTreeMap::from([("spam".into(), 0.9)]));
    assert_eq!(taggers[0].text, ["/subject", "/body"]);
}

#[test]
fn a_tagger_takes_from_the_model_what_it_does_not_say() {
    let yaml = "model: {path: a, variant: int8, device: cpu, max_tokens: 256, stride: 32, consistent: true, \
                thresholds: {spam: 0.9}}\n\
                taggers:\n\
                - {name: one, head: spam}\n\
                - {name: two, text: [/title], model: {path: hf://owner/b}, aggregation: max, labels: [POS]}\n\
                - {name: three, model: {consistent: false}}\n";
    let config = parse(yaml, &[], &[]).unwrap();
    let [one, two, three] = &config.taggers()[..] else { panic!("three") };
    assert_eq!((one.model.path.to_string().as_str(), one.model.variant.as_deref()), ("a", Some("int8")));
    assert_eq!((one.head.as_deref(), one.windows.stride, one.thresholds.len()), (Some("spam"), Some(32), 1));
    assert_eq!((two.model.path.to_string().as_str(), two.model.variant.as_deref()), ("hf://owner/b", None));
    assert_eq!((two.model.max_tokens, two.thresholds.len()), (None, 0));
    assert_eq!(one.model.max_tokens, 256.try_into().ok());
    assert_eq!([one, two, three].map(|tagger| tagger.model.consistent), [true, true, false]);
    assert_eq!((two.aggregation, two.labels.as_deref()), (Aggregation::Max, Some(&["POS".to_owned()][..])));
    assert_eq!(config.texts(), [vec!["/subject".to_owned(), "/body".to_owned()], vec!["/title".to_owned()]]);
}

#[test]
fn taggers_that_make_no_sense_are_refused() {
    let refused = |yaml: &str, expected: &str| {
        let error = parse(yaml, &[], &[]).unwrap_err();
        assert!(error.contains(expected), "{yaml}: {error}");
    };
    refused("taggers: [{name: a}, {name: a}]", "`taggers[1].name` is `a` again");
    refused("taggers: [{name: ''}]", "`taggers[0].name` is empty");
    refused("taggers: [{head: spam}]", "name");
    refused("taggers: [{name: a, hed: spam}]", "hed");
    refused("taggers: [{name: a, text: []}]", "names no field");
    refused("taggers: [{name: a, text: [body]}]", "JSON pointer");
    refused("taggers: [{name: a, model: {path: 'gs://b/c'}}]", "gs://");
    refused("model: {max_tokens: 4}", "under 8");
    refused("model: {window: 64, max_tokens: 32}", "longer than its `max_tokens`");
    refused("model: {aggregation: last}", "last");
    refused("model: {thresholds: {spam: most}}", "most");
    refused("model: {thresholds: {spam: 97}}", "scores are 0 to 1");
    refused("taggers: [{name: a, labels: []}]", "keep nothing");
}

#[test]
fn a_password_in_a_location_is_not_shown() {
    let yaml = "model: {path: 'https://me:hunter2@host/a?token=hunter2'}\n\
                shadow: {path: 'https://me:hunter2@host/c?token=hunter2'}\n\
                taggers: [{name: z}, {name: a, model: {path: 'https://me:hunter2@host/b?token=hunter2'}}]";
    let masked = parse(yaml, &[], &[]).unwrap().masked();
    assert!(masked.contains("https://host/a") && masked.contains("https://host/b"), "{masked}");
    assert!(masked.contains("https://host/c"), "{masked}");
    assert!(!masked.contains("hunter2"), "{masked}");
}

#[test]
fn a_shadow_takes_the_models_place_in_the_taggers_that_use_it() {
    assert!(parse("", &[], &[]).unwrap().of_shadow().is_none());
    assert!(parse("shadow: null", &[], &[]).unwrap().shadow.is_none());
    let environment = [("TAGBERT__SHADOW__PATH", "new"), ("TAGBERT__SHADOW__SAMPLE", "0.5")];
    let config = parse("model: {path: old, variant: int8}", &environment, &["shadow.variant=fp16"]).unwrap();
    assert!((config.shadow.as_ref().unwrap().sample - 0.5).abs() < 1e-9);
    let shadow = config.of_shadow().unwrap().taggers().remove(0);
    assert_eq!((shadow.model.path.to_string(), shadow.model.variant.as_deref()), ("new".into(), Some("fp16")));

    let yaml = "model: {path: old, variant: int8}\nshadow: {path: new}\ntaggers:\n\
                - {name: a}\n- {name: b, model: {path: other}}\n- {name: c, model: {path: old, variant: int8}}\n\
                - {name: d, model: {variant: fp32}}";
    let config = parse(yaml, &[], &[]).unwrap();
    let taggers = config.of_shadow().unwrap().taggers();
    let names: Vec<_> = taggers.iter().map(|tagger| tagger.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["a", "c"]);
    assert!(taggers.iter().all(|tagger| tagger.model.path.to_string() == "new" && tagger.model.variant.is_none()));
    let unused = "shadow: {path: new}\ntaggers: [{name: b, model: {path: other}}]";
    assert!(parse(unused, &[], &[]).unwrap_err().contains("no tagger uses"));
    for sample in ["0", "1.1", "-1", "nan"] {
        let error = parse("shadow: {path: new}", &[], &[&format!("shadow.sample={sample}")]).unwrap_err();
        assert!(error.contains("shadow.sample"), "{error}");
    }
}

#[test]
fn the_watch_can_be_switched_off() {
    let watch = |yaml: &str| parse(yaml, &[], &[]).unwrap().model.watch;
    assert_eq!(watch(""), Duration::from_secs(5));
    assert_eq!(watch("model: {watch: 1m}"), Duration::from_mins(1));
    for none in ["off", "0s", "0"] {
        assert_eq!(watch(&format!("model: {{watch: {none}}}")), Duration::ZERO);
    }
}

#[test]
fn a_device_is_named_with_or_without_its_number() {
    let device = |text: &str| parse("", &[], &[&format!("model.device={text}")]).map(|config| config.model.device);
    for (text, expected) in [
        ("auto", Device::Auto),
        ("cpu", Device::Cpu),
        ("cuda", Device::Cuda(0)),
        ("cuda:3", Device::Cuda(3)),
        ("tensorrt", Device::TensorRt(0)),
        ("tensorrt:1", Device::TensorRt(1)),
    ] {
        let found = device(text).unwrap();
        assert_eq!(found, expected);
        assert_eq!(Device::try_from(String::from(found)), Ok(found), "as `check` prints it");
    }
    for wrong in ["gpu", "cpu:0", "auto:1", "cuda:", "cuda:-1", "tensorrt:x"] {
        assert!(device(wrong).unwrap_err().contains("tensorrt:N"), "{wrong}");
    }
}

#[test]
fn models_know_the_budget_and_the_memory_that_a_gpu_is_prepared_for() {
    let yaml =
        "model: {gpu_memory: 8GiB}\nbatch: {tokens: 4096}\ntaggers: [{name: a}, {name: b, model: {path: other}}]";
    for tagger in parse(yaml, &[], &[]).unwrap().taggers() {
        assert_eq!(tagger.model.gpu, GpuSettings { memory: Some(ByteSize::gib(8)), batch_tokens: 4096 });
    }
    assert_eq!(parse("", &[], &[]).unwrap().taggers()[0].model.gpu.memory, None);
    assert!(parse("model: {gpu_memory: 0}", &[], &[]).unwrap_err().contains("model.gpu_memory"));
}
