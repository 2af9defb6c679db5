#!/usr/bin/env bash
# Writes deploy/kubernetes/configmap.yaml anew from configs/production.yaml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

{
    cat <<'EOF'
# What the worker reads. A pod takes up changes when it is started anew:
#
#   kubectl rollout restart deployment/tagbert
apiVersion: v1
kind: ConfigMap
metadata:
  name: tagbert
  labels:
    app.kubernetes.io/name: tagbert
data:
  KAFKA_BOOTSTRAP_SERVERS: kafka:9092
  # configs/production.yaml, by scripts/configmap.sh
  config.yaml: |
EOF
    # Empty lines stay empty.
    sed 's/^./    &/' configs/production.yaml
} >deploy/kubernetes/configmap.yaml
