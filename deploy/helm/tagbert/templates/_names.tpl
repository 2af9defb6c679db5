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
app.kubernetes.io/name: {{ include "tagbert.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
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
