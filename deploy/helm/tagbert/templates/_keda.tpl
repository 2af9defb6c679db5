{{- define "tagbert.kedaMinimum" -}}
{{- ternary 1 .Values.keda.minReplicaCount (kindIs "invalid" .Values.keda.minReplicaCount) -}}
{{- end -}}

{{/* A trigger for each input topic, since KEDA sums up only what a group has committed already. */}}
{{- define "tagbert.kedaTriggers" -}}
{{- $more := .Values.keda.triggerMetadata -}}
{{- if and (eq (get $more "limitToPartitionsWithLag" | default "") "true") (eq (get $more "allowIdleConsumers" | default "") "true") -}}
{{- fail "keda.triggerMetadata: limitToPartitionsWithLag, allowIdleConsumers: KEDA refuses both at once: choose one" -}}
{{- end -}}
{{- range $key, $_ := $more -}}
{{- if regexMatch "(?i)(pass(word|phrase)|secret|token|key|keytab)$" $key -}}
{{- fail (printf "keda.triggerMetadata: %s: whoever may read the manifest would read it: put it into a Secret, and name that in keda.secretTargetRef" $key) -}}
{{- end -}}
{{- end -}}
{{- if .Values.args -}}
{{- fail "keda: args: KEDA counts the lag of `run`, and not what another command has left: leave one of them out" -}}
{{- end -}}
{{- range .Values.extraArgs -}}
{{- if regexMatch "^--(from|to|group|until-end)(=|$)" . -}}
{{- fail (printf "keda: extraArgs: %s: the run would commit in another group than KEDA looks at, or end, and be started again for ever: leave it out (kafka.group is set in config or settings)" .) -}}
{{- end -}}
{{- end -}}
{{- $topics := .Values.keda.topics -}}
{{- if not $topics -}}
{{- $topics = splitList "," (include "tagbert.setting" (list . "input.topics" "documents" "keda.topics")) -}}
{{- end -}}
{{- range $topic := $topics -}}
{{- if hasPrefix "^" ($topic | trimAll "[]\"' ") -}}
{{- fail (printf "keda: input.topics: %s: KEDA takes no patterns: list the topics by their names in keda.topics" $topic) -}}
{{- end -}}
{{- end -}}
{{- $begin := include "tagbert.setting" (list . "input.start" "" "settings: {input.start: …}") -}}
{{- if not $begin -}}
{{- $begin = include "tagbert.setting" (list . "kafka.properties.auto.offset.reset" "" "settings: {kafka.properties.auto.offset.reset: …}") -}}
{{- end -}}
{{- range $topic := $topics }}
- type: kafka
  metadata:
    {{- $ours := dict
          "bootstrapServers" (include "tagbert.brokers" $)
          "consumerGroup" (include "tagbert.setting" (list $ "kafka.group" "tagbert" "settings: {kafka.group: …}"))
          "topic" ($topic | trimAll "[]\"' ")
          "lagThreshold" ($.Values.keda.lagThreshold | int64 | toString)
          "activationLagThreshold" ($.Values.keda.activationLagThreshold | int64 | toString)
          "offsetResetPolicy" (ternary "latest" "earliest" (has $begin (list "latest" "largest" "end")))
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
