{{/* A trigger for each input topic, since KEDA sums up only what a group has committed already. */}}
{{- define "tagbert.kedaTriggers" -}}
{{- $more := .Values.keda.triggerMetadata -}}
{{- if and (eq (get $more "limitToPartitionsWithLag" | default "") "true") (eq (get $more "allowIdleConsumers" | default "") "true") -}}
{{- fail "keda.triggerMetadata: limitToPartitionsWithLag, allowIdleConsumers: KEDA refuses both at once: choose one" -}}
{{- end -}}
{{- $topics := .Values.keda.topics -}}
{{- if not $topics -}}
{{- $topics = splitList "," (include "tagbert.setting" (list . "input.topics" "documents")) -}}
{{- end -}}
{{- $reset := include "tagbert.setting" (list . "kafka.properties.auto.offset.reset" "earliest") -}}
{{- range $topic := $topics }}
- type: kafka
  metadata:
    {{- $ours := dict
          "bootstrapServers" (include "tagbert.brokers" $)
          "consumerGroup" (include "tagbert.setting" (list $ "kafka.group" "tagbert"))
          "topic" ($topic | trimAll "[]\"' ")
          "lagThreshold" ($.Values.keda.lagThreshold | int64 | toString)
          "activationLagThreshold" ($.Values.keda.activationLagThreshold | int64 | toString)
          "offsetResetPolicy" (ternary "latest" "earliest" (has $reset (list "latest" "largest" "end")))
          "version" "2.1.0" }}
    {{- toYaml (merge (dict) $more $ours) | nindent 4 }}
  {{- if $.Values.keda.secretTargetRef }}
  authenticationRef:
    name: {{ include "tagbert.fullname" $ }}
  {{- else if $.Values.keda.authenticationRef }}
  authenticationRef:
    {{- toYaml $.Values.keda.authenticationRef | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}
