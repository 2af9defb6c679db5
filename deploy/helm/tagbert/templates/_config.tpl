{{/* What the worker is told, and what the manifests must know of it: its own file is the one place where that stands. */}}

{{- define "tagbert.config" -}}
{{- if not (kindIs "string" .Values.config) -}}
{{- fail "config: give the worker's file as text (`config: |`, or --set-file config=FILE): as YAML of its own, Helm would make 7 of 007 and false of no before the worker sees them" -}}
{{- end -}}
{{- .Values.config | default (.Files.Get "files/config.yaml") -}}
{{- end -}}

{{/* A key in a map, nested or dotted, as JSON; or nothing. */}}
{{- define "tagbert.find" -}}
{{- $in := .in -}}
{{- $key := .key -}}
{{- if hasKey $in $key -}}
{{- toJson (index $in $key) -}}
{{- else -}}
{{- $parts := splitList "." $key -}}
{{- range $n := untilStep 1 (len $parts) 1 -}}
{{- $below := index $in (join "." (slice $parts 0 $n)) -}}
{{- if kindIs "map" $below -}}
{{- include "tagbert.find" (dict "in" $below "key" (join "." (slice $parts $n))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list . KEY DEFAULT): a setting, as text; the elements of a list are joined by commas. */}}
{{- define "tagbert.setting" -}}
{{- $root := index . 0 -}}
{{- $key := index . 1 -}}
{{- if hasKey $root.Values.settings $key -}}
{{- index $root.Values.settings $key -}}
{{- else -}}
{{- $file := fromYaml (include "tagbert.config" $root) -}}
{{- if hasKey $file "Error" -}}
{{- fail (printf "config: no YAML: %s" $file.Error) -}}
{{- end -}}
{{- $found := include "tagbert.find" (dict "in" $file "key" $key) | default "null" -}}
{{- $value := get (fromJson (printf "{\"value\": %s}" $found)) "value" -}}
{{- if eq $found "null" -}}
{{- index . 2 -}}
{{- else -}}
{{- $texts := ternary $value (list $value) (kindIs "slice" $value) -}}
{{- range $texts -}}
{{- if not (kindIs "string" .) -}}
{{- fail (printf "config: %s: put %v in quotes: the worker takes the text as it is written, and the chart can't see it" $key .) -}}
{{- end -}}
{{- end -}}
{{- join "," $texts -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tagbert.brokers" -}}
{{- $brokers := default (include "tagbert.setting" (list . "kafka.brokers" "")) .Values.kafka.brokers -}}
{{- if and (not $brokers) (not .Values.args) -}}
{{- required "kafka.brokers: say where Kafka is: --set kafka.brokers=HOST:9092" $brokers -}}
{{- end -}}
{{- $brokers -}}
{{- end -}}

{{- define "tagbert.configData" -}}
{{- $data := dict "config.yaml" (include "tagbert.config" .) -}}
{{- with include "tagbert.brokers" . -}}
{{- $data = set $data "KAFKA_BOOTSTRAP_SERVERS" . -}}
{{- end -}}
{{- toYaml $data -}}
{{- end -}}

{{/* A duration such as 30s, 2m or `1m 30s`, in seconds, rounded up. */}}
{{- define "tagbert.seconds" -}}
{{- $text := . -}}
{{- if not (regexMatch "^( *[0-9]+ *(ms|msec|s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hour|hours) *)+$" $text) -}}
{{- fail (printf "shutdown.timeout: %s: the chart can't read it: set terminationGracePeriodSeconds to more than that" $text) -}}
{{- end -}}
{{- $ms := 0 -}}
{{- range regexFindAll "[0-9]+ *[a-z]+" $text -1 -}}
{{- $number := regexFind "[0-9]+" . | int64 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- if hasPrefix "ms" $unit -}}
{{- $ms = add $ms $number -}}
{{- else -}}
{{- $ms = add $ms (mul 1000 $number (get (dict "s" 1 "m" 60 "h" 3600) (substr 0 1 $unit))) -}}
{{- end -}}
{{- end -}}
{{- div (add $ms 999) 1000 -}}
{{- end -}}

{{/* If brokers don't answer, leaving takes up to half a minute more than the drain. */}}
{{- define "tagbert.grace" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add 30 (include "tagbert.seconds" (include "tagbert.setting" (list . "shutdown.timeout" "30s"))) -}}
{{- else -}}
{{- .Values.terminationGracePeriodSeconds | int64 -}}
{{- end -}}
{{- end -}}
