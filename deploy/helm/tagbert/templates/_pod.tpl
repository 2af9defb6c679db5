{{/* The pod, the same in every workload. */}}

{{- define "tagbert.args" -}}
{{- $args := .Values.args -}}
{{- if not $args -}}
{{- $args = list "run" -}}
{{- if and (eq (include "tagbert.component" .) "batch") (not (has "--until-end" .Values.extraArgs)) -}}
{{- $args = append $args "--until-end" -}}
{{- end -}}
{{- $args = concat $args (list "--config" "/etc/tagbert/config.yaml") -}}
{{- $settings := .Values.settings -}}
{{- with .Values.model.path -}}
{{- $settings = merge (dict "model.path" .) $settings -}}
{{- end -}}
{{- $member := "kafka.properties.group.instance.id" -}}
{{- /* In the file, only a variable makes a name that is another in each pod. */}}
{{- if and (eq .Values.kind "StatefulSet") (not (contains "${" (include "tagbert.said" (list . $member)))) -}}
{{- $settings = merge (dict) $settings (dict $member "$(POD_NAME)") -}}
{{- end -}}
{{- range $key := keys $settings | sortAlpha -}}
{{- $args = append $args (printf "--set=%s=%s" $key (get $settings $key)) -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat $args .Values.extraArgs) -}}
{{- end -}}

{{/* Devices that pods hold, such as GPUs: extended resources, whose names alone have a slash, and claims of them. */}}
{{- define "tagbert.devices" -}}
{{- with .Values.resources -}}
{{- range $name := concat (keys (.limits | default dict)) (keys (.requests | default dict)) -}}
{{- if contains "/" $name -}}
{{- $name -}}
{{- end -}}
{{- end -}}
{{- range .claims -}}
{{- .name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What is in extraEnv comes in place of ours: a name may not be there twice. */}}
{{- define "tagbert.env" -}}
{{- $ours := list -}}
{{- if .Values.kafka.brokers -}}
{{- $from := dict "name" (include "tagbert.fullname" .) "key" "KAFKA_BOOTSTRAP_SERVERS" -}}
{{- $ours = append $ours (dict "name" "KAFKA_BOOTSTRAP_SERVERS" "valueFrom" (dict "configMapKeyRef" $from)) -}}
{{- end -}}
{{- $ours = append $ours (dict "name" "TAGBERT__HTTP__LISTEN" "value" (printf "%s:%v" .Values.http.address .Values.http.port)) -}}
{{- $ours = append $ours (dict "name" "HF_HOME" "value" "/var/cache/tagbert/huggingface") -}}
{{- $ours = append $ours (dict "name" "TAGBERT_CACHE" "value" "/var/cache/tagbert/models") -}}
{{- with .Values.resources -}}
{{- if and (.requests | default dict).cpu (not (.limits | default dict).cpu) -}}
{{- $ours = append $ours (dict "name" "TAGBERT_CPUS" "valueFrom" (dict "resourceFieldRef" (dict "resource" "requests.cpu"))) -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.kind "StatefulSet" -}}
{{- $ours = append $ours (dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name"))) -}}
{{- end -}}
{{- $given := list -}}
{{- range .Values.extraEnv -}}
{{- $given = append $given .name -}}
{{- end -}}
{{- $env := list -}}
{{- range $ours -}}
{{- if not (has .name $given) -}}
{{- $env = append $env . -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat $env .Values.extraEnv) -}}
{{- end -}}

{{- define "tagbert.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
{{ toYaml .probe }}
{{- end -}}

{{/* A claim is owned by root unless the pod has a group. OpenShift gives it one, and refuses any other. */}}
{{- define "tagbert.podSecurityContext" -}}
{{- $context := deepCopy (.Values.podSecurityContext | default dict) -}}
{{- $claims := or .Values.cache.existingClaim .Values.cache.ephemeral -}}
{{- $group := .Values.cache.fsGroup -}}
{{- if and $claims (not (kindIs "invalid" $group)) (not (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
{{- $context = merge $context (dict "fsGroup" ($group | int64) "fsGroupChangePolicy" "OnRootMismatch") -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* What podAnnotations say beats ours, but for the sum by which a change of the configuration rolls the pods. */}}
{{- define "tagbert.podAnnotations" -}}
{{- $theirs := .Values.podAnnotations | default dict -}}
{{- if hasKey $theirs "checksum/config" -}}
{{- fail "podAnnotations: checksum/config: by that a change of the configuration rolls the pods: leave it out, or give it another name" -}}
{{- end -}}
{{- $ours := dict "checksum/config" (include "tagbert.configData" . | sha256sum) -}}
{{- if not (or .Values.serviceMonitor.enabled .Values.podMonitor.enabled) -}}
{{- $scrape := dict "prometheus.io/scrape" "true" "prometheus.io/port" (toString .Values.http.port) "prometheus.io/path" "/metrics" -}}
{{- $ours = merge $ours $scrape -}}
{{- end -}}
{{- include "tagbert.both" (list $ours $theirs) -}}
{{- end -}}

{{- define "tagbert.podTemplate" -}}
{{- include "tagbert.refuseOfKind" . -}}
metadata:
  labels:
    {{- include "tagbert.podLabels" . | nindent 4 }}
  annotations:
    {{- include "tagbert.podAnnotations" . | nindent 4 }}
spec:
  {{- include "tagbert.podSpec" . | nindent 2 }}
{{- end -}}

{{- define "tagbert.podSpec" -}}
restartPolicy: {{ ternary "Never" "Always" (eq (include "tagbert.component" .) "batch") }}
serviceAccountName: {{ include "tagbert.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "tagbert.grace" . }}
securityContext:
  {{- include "tagbert.podSecurityContext" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $ours := dict "matchLabels" (fromYaml (include "tagbert.selectorLabels" $)) }}
  {{- /* An empty one is theirs, and matches all pods. */}}
  - {{- toYaml (merge (dict "labelSelector" (ternary $ours .labelSelector (kindIs "invalid" .labelSelector))) .) | nindent 4 }}
  {{- end }}
{{- end }}
{{- with .Values.resourceClaims }}
resourceClaims:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.model.initContainer .Values.initContainers }}
initContainers:
  {{- with .Values.model.initContainer }}
  {{- $context := merge (dict) (.securityContext | default dict) ($.Values.securityContext | default dict) }}
  {{- $mounts := .volumeMounts | default (list (dict "name" "model" "mountPath" "/models")) }}
  - {{- toYaml (merge (dict "securityContext" $context "volumeMounts" $mounts) . (dict "name" "model")) | nindent 4 }}
  {{- end }}
  {{- with .Values.initContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
containers:
  - name: tagbert
    image: {{ include "tagbert.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
      {{- include "tagbert.args" . | nindent 6 }}
    env:
      {{- include "tagbert.env" . | nindent 6 }}
    {{- with .Values.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- if not .Values.args }}
    ports:
      - name: http
        containerPort: {{ .Values.http.port }}
    {{- with .Values.startupProbe }}
    startupProbe:
      {{- include "tagbert.probe" (dict "path" "/livez" "probe" .) | nindent 6 }}
    {{- end }}
    {{- with .Values.livenessProbe }}
    livenessProbe:
      {{- include "tagbert.probe" (dict "path" "/livez" "probe" .) | nindent 6 }}
    {{- end }}
    {{- if and .Values.readinessProbe (eq (include "tagbert.component" .) "worker") }}
    readinessProbe:
      {{- include "tagbert.probe" (dict "path" "/readyz" "probe" .Values.readinessProbe) | nindent 6 }}
    {{- end }}
    {{- end }}
    {{- with .Values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.securityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
      {{- include "tagbert.volumeMounts" . | nindent 6 }}
volumes:
  {{- include "tagbert.volumes" . | nindent 2 }}
{{- end -}}
