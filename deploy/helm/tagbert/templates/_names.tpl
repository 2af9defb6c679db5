{{/* Names and labels. */}}

{{- define "tagbert.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* 50 characters leave room for what Kubernetes and a Job's hash put behind them. */}}
{{- define "tagbert.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $both := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $both .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "tagbert.component" -}}
{{- ternary "worker" "batch" (has .Values.kind (list "Deployment" "StatefulSet")) -}}
{{- end -}}

{{/* Of all pods: workers, and those of helm test. */}}
{{- define "tagbert.releaseLabels" -}}
app.kubernetes.io/name: {{ include "tagbert.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* These can never be changed on a workload that is there: no version among them. */}}
{{- define "tagbert.selectorLabels" -}}
{{ include "tagbert.releaseLabels" . }}
app.kubernetes.io/component: {{ include "tagbert.component" . }}
{{- end -}}

{{- define "tagbert.labels" -}}
{{ include "tagbert.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* (list OURS THEIRS): labels or annotations, each key once; theirs beat ours, empty ones too, which `merge` would pass over. */}}
{{- define "tagbert.both" -}}
{{- $both := deepCopy (index . 0) -}}
{{- range $key, $value := index . 1 -}}
{{- $both = set $both $key $value -}}
{{- end -}}
{{- toYaml $both -}}
{{- end -}}

{{/* Of a worker's pod. A selector looks for these labels, so that podLabels can't say them otherwise. */}}
{{- define "tagbert.podLabels" -}}
{{- $ours := fromYaml (include "tagbert.selectorLabels" .) -}}
{{- $theirs := .Values.podLabels | default dict -}}
{{- range $key := keys $ours | sortAlpha -}}
{{- if hasKey $theirs $key -}}
{{- fail (printf "podLabels: %s: the chart finds its pods by that label: leave it out (nameOverride, and the release's name, say it otherwise)" $key) -}}
{{- end -}}
{{- end -}}
{{- include "tagbert.both" (list $ours $theirs) -}}
{{- end -}}

{{- define "tagbert.metadata" -}}
name: {{ include "tagbert.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "tagbert.labels" . | nindent 2 }}
{{- end -}}

{{- define "tagbert.serviceAccountName" -}}
{{- $ours := ternary (include "tagbert.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $ours .Values.serviceAccount.name -}}
{{- end -}}

{{- define "tagbert.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}
