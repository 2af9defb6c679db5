"""Values that the chart is tried with. Each value of values.yaml is in one of them (test_chart.py sees to that)."""

DIGEST = "sha256:" + "0123456789abcdef" * 4

# What only changes pods, in each kind of workload.
POD = {
    "image": {
        "repository": "registry.example.org/nlp/tagbert", "tag": "0.2.0", "digest": DIGEST, "pullPolicy": "Always",
    },
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {
        "batch.tokens": "16384",
        "kafka.group": "tagbert-eu",
        "kafka.properties.client.id": "007",
        "kafka.properties.sasl.username": "1e3",
        "kafka.properties.sasl.password_file": "/run/secrets/kafka/password",
        "kafka.properties.sasl.mechanism": "SCRAM-SHA-512",
        "kafka.properties.security.protocol": "SASL_SSL",
    },
    "extraArgs": ["--set", "cache.size=0"],
    "secretFiles": {"kafka": "tagbert-kafka", "http": "tagbert-http"},
    "extraEnv": [{"name": "RUST_LOG", "value": "info"}, {"name": "HF_HOME", "value": "/elsewhere"}],
    "extraEnvFrom": [{"secretRef": {"name": "aws"}}],
    "extraVolumes": [{"name": "authorities", "configMap": {"name": "authorities"}}],
    "extraVolumeMounts": [{"name": "authorities", "mountPath": "/etc/authorities"}],
    "initContainers": [{
        "name": "wait", "image": "busybox:1.37", "command": ["true"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }],
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "vnni", "operator": "In", "values": ["true"]}]}]}}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"},
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
         "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "tagbert"}}},
    ],
    "priorityClassName": "batch",
    "runtimeClassName": "gvisor",
    "terminationGracePeriodSeconds": 600,
    "annotations": {"owner": "nlp"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "podLabels": {"team": "nlp"},
    "podSecurityContext": {"runAsUser": 1000, "supplementalGroups": [2000]},
    "securityContext": {"runAsGroup": 1000},
    "serviceAccount": {"name": "tagger", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/tagbert"}},
    "resources": {"requests": {"cpu": 4, "memory": "2Gi"}, "limits": {"memory": "2Gi", "nvidia.com/gpu": 1}, "claims": [{"name": "gpu"}]},
    "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}],
    "http": {"port": 9090, "address": "[::]"},
    "startupProbe": {"periodSeconds": 10, "failureThreshold": 360, "timeoutSeconds": 9},
    "livenessProbe": {"periodSeconds": 30, "failureThreshold": 3, "timeoutSeconds": 9},
    "readinessProbe": {"periodSeconds": 30, "failureThreshold": 1, "timeoutSeconds": 9, "successThreshold": 2},
    "nameOverride": "tags",
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "egress": [{"ports": [{"port": 9092, "protocol": "TCP"}]}],
    },
    "podMonitor": {
        "enabled": True, "labels": {"release": "kube-prometheus-stack"}, "interval": "15s", "scrapeTimeout": "5s",
        "relabelings": [{"action": "labeldrop", "regex": "pod"}],
        "metricRelabelings": [{"action": "drop", "regex": "tagbert_batch_.*", "sourceLabels": ["__name__"]}],
    },
}

JOB = {"job": {"parallelism": 3, "backoffLimit": 10, "activeDeadlineSeconds": 86400, "ttlSecondsAfterFinished": 1000000}}

# What KEDA takes for each kind.
KEDA_JOB = {"keda": {
    "enabled": True, "maxReplicaCount": 40, "pollingInterval": 5,
    "lagThreshold": 1000000, "activationLagThreshold": 2000000,
    "topics": ["mails", "news"],
    "triggerMetadata": {"sasl": "scram_sha512", "tls": "enable", "limitToPartitionsWithLag": "true"},
    "secretTargetRef": [{"parameter": "password", "name": "tagbert-kafka", "key": "password"}],
    "annotations": {"autoscaling.keda.sh/paused": "false"},
}}

KEDA = {"keda": {
    **KEDA_JOB["keda"], "minReplicaCount": 0, "cooldownPeriod": 60,
    "fallback": {"failureThreshold": 3, "replicas": 4},
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
}}

CONFIG = """\
kafka.brokers: kafka-0:9093,kafka-1:9093
kafka:
  group: "0123"
  properties: {auto.offset.reset: latest}
input:
  topics:
    - mails
    - news
shutdown: {timeout: 1m 30s}
"""

# Name: values. All have brokers, unless they say so themselves.
MATRIX = {
    "default": {},
    "brokers": {"kafka": {"brokers": "kafka-0:9092,kafka-1:9092"}},
    "image-tag": {"image": {"tag": "0.2.0-gpu"}},
    **{f"all-{kind.lower()}": {"kind": kind, **POD} for kind in ("Deployment", "StatefulSet")},
    "all-job": {"kind": "Job", **POD, "job": {**JOB["job"], "run": "2026-11-29"}},
    "all-cronjob": {"kind": "CronJob", **POD, **JOB},
    "statefulset": {"kind": "StatefulSet", "replicaCount": 5, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
    "deployment-recreate": {"updateStrategy": {"type": "Recreate"}, "fullnameOverride": "classifier"},
    "one-replica": {"replicaCount": 1},
    "no-replica": {"replicaCount": 0},
    "scaled-elsewhere": {"replicaCount": None},
    "budget": {"replicaCount": 4, "podDisruptionBudget": {"minAvailable": 3}},
    "budget-percent": {"podDisruptionBudget": {"minAvailable": "50%"}},
    "budget-two": {"podDisruptionBudget": {"maxUnavailable": 2}},
    "budget-off": {"podDisruptionBudget": {"enabled": False}},
    "account-given": {"serviceAccount": {"create": False, "name": "theirs"}},
    "account-default": {"serviceAccount": {"create": False}},
    # Keys that the chart has, too.
    "said-again": {
        "podAnnotations": {"prometheus.io/scrape": "false"}, "podLabels": {"app.kubernetes.io/version": "mine"},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}
            for key, selector in {"topology.kubernetes.io/zone": None, "kubernetes.io/hostname": {}}.items()],
        "model": {"path": "/models", "initContainer": {
            "name": "model", "image": "registry.example.org/models/small:1", "command": ["true"], "volumeMounts": []}}},
    "service-monitor": {"serviceMonitor": POD["podMonitor"]},
    "network-closed": {"networkPolicy": {"enabled": True}},
    "model-hub": {"model": {"path": "hf://acme/tagger@0123456789abcdef"}, "cache": {"sizeLimit": "20Gi"}},
    "model-claim": {"model": {"path": "/models/small", "existingClaim": "models"}},
    "model-image": {"model": {"path": "/models", "image": {
        "reference": "registry.example.org/models/small:1", "pullPolicy": "IfNotPresent"}}},
    "model-init": {"model": {"path": "/models/small", "initContainer": {
        "image": "registry.example.org/models/small:1", "command": ["cp", "-r", "/small", "/models/"],
        "securityContext": {"runAsUser": 65532}}}},
    "cache-claim": {"cache": {"existingClaim": "hub", "fsGroup": 2000}},
    "cache-claim-openshift": {"cache": {"existingClaim": "hub", "fsGroup": None}},
    "cache-ephemeral": {"cache": {"ephemeral": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {"requests": {"storage": "10Gi"}}}}},
    "config": {"kafka": {"brokers": ""}, "config": CONFIG},
    "cronjob": {"kind": "CronJob", "cronJob": {
        "schedule": "*/15 * * * *", "timeZone": "Europe/Berlin", "suspend": True, "startingDeadlineSeconds": 600,
        "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 5}},
    "job-range": {"kind": "Job", "extraArgs": ["--from", "2h", "--max-dead", "100"]},
    "job-lake": {"kind": "Job", "kafka": {"brokers": ""}, "args": [
        "enrich", "--input", "s3://lake/mails/**/*.parquet", "--output", "s3://lake/tagged", "--text", "body"]},
    "keda": {**KEDA},
    "keda-statefulset": {"kind": "StatefulSet", "keda": {"enabled": True}},
    "keda-job": {"kind": "Job", "annotations": POD["annotations"], **KEDA_JOB, **JOB},
    "keda-config": {"kafka": {"brokers": ""}, "config": CONFIG, "keda": {
        "enabled": True, "authenticationRef": {"name": "kafka", "kind": "ClusterTriggerAuthentication"}}},
}
