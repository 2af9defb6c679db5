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

{{/* (list . KEY): what the settings, or else the worker's file, say of a key, as JSON; or nothing. */}}
{{- define "tagbert.said" -}}
{{- $root := index . 0 -}}
{{- $key := index . 1 -}}
{{- if hasKey $root.Values.settings $key -}}
{{- toJson (index $root.Values.settings $key) -}}
{{- else -}}
{{- $file := fromYaml (include "tagbert.config" $root) -}}
{{- if hasKey $file "Error" -}}
{{- fail (printf "config: no YAML: %s" $file.Error) -}}
{{- end -}}
{{- $found := include "tagbert.find" (dict "in" $file "key" $key) -}}
{{- if ne $found "null" -}}
{{- $found -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list . KEY DEFAULT WHERE): a setting, as text, for manifests that need it; the elements of a list are joined by commas. What
the chart can't know as the worker does is refused, with WHERE to say it instead. */}}
{{- define "tagbert.setting" -}}
{{- $key := index . 1 -}}
{{- $where := index . 3 -}}
{{- $found := include "tagbert.said" . -}}
{{- if not $found -}}
{{- index . 2 -}}
{{- else -}}
{{- $value := get (fromJson (printf "{\"value\": %s}" $found)) "value" -}}
{{- $texts := ternary $value (list $value) (kindIs "slice" $value) -}}
{{- range $texts -}}
{{- if not (kindIs "string" .) -}}
{{- fail (printf "config: %s: put %v in quotes: the worker takes the text as it is written, and the chart can't see it" $key .) -}}
{{- end -}}
{{- if regexMatch "[$][{(]" . -}}
{{- fail (printf "config: %s: %s: only the pod knows what that stands for, and the chart has to: set %s" $key . $where) -}}
{{- end -}}
{{- end -}}
{{- join "," $texts -}}
{{- end -}}
{{- end -}}

{{/* (list . KEY DEFAULT): the same for people, who are not refused: what is no text is called by its key. */}}
{{- define "tagbert.told" -}}
{{- $found := include "tagbert.said" . -}}
{{- if not $found -}}
{{- index . 2 -}}
{{- else -}}
{{- $value := get (fromJson (printf "{\"value\": %s}" $found)) "value" -}}
{{- $texts := list -}}
{{- range ternary $value (list $value) (kindIs "slice" $value) -}}
{{- $texts = append $texts (ternary . (printf "its %s" (index $ 1)) (kindIs "string" .)) -}}
{{- end -}}
{{- join ", " (uniq $texts) -}}
{{- end -}}
{{- end -}}

{{/* What `--set` says in extraArgs, as JSON. */}}
{{- define "tagbert.sets" -}}
{{- $sets := dict -}}
{{- $before := "" -}}
{{- range .Values.extraArgs -}}
{{- if or (hasPrefix "--set=" .) (eq $before "--set") -}}
{{- $pair := splitn "=" 2 (trimPrefix "--set=" .) -}}
{{- $sets = set $sets $pair._0 ($pair._1 | default "") -}}
{{- end -}}
{{- $before = . -}}
{{- end -}}
{{- toJson $sets -}}
{{- end -}}

{{/* What manifests are made of has one place, where the chart sees it: said elsewhere, they would say another thing than the
worker does. */}}
{{- define "tagbert.refuseElsewhere" -}}
{{- $places := dict "kafka.brokers" "kafka.brokers" "http.listen" "http.port and http.address" -}}
{{- range $key := keys $places | sortAlpha -}}
{{- if hasKey $.Values.settings $key -}}
{{- fail (printf "settings: %s: set %s" $key (get $places $key)) -}}
{{- end -}}
{{- end -}}
{{- range list "input.start" "input.topics" "kafka.group" "kafka.properties.auto.offset.reset" "shutdown.timeout" -}}
{{- $places = set $places . (printf "settings: {%s: …}" .) -}}
{{- end -}}
{{- range $key, $_ := fromJson (include "tagbert.sets" .) -}}
{{- if hasKey $places $key -}}
{{- fail (printf "extraArgs: --set %s: the chart does not see it there: set %s" $key (get $places $key)) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- $key := .name | lower | trimPrefix "tagbert__" | replace "__" "." -}}
{{- if eq .name "KAFKA_BOOTSTRAP_SERVERS" -}}
{{- fail "extraEnv: KAFKA_BOOTSTRAP_SERVERS: set kafka.brokers; or write `kafka.brokers: ${NAME}` into config, and give that NAME here" -}}
{{- else if and (hasPrefix "tagbert__" (lower .name)) (hasKey $places $key) -}}
{{- fail (printf "extraEnv: %s: the chart does not see it there: set %s" .name (get $places $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* For whoever is no worker. A worker reads those of its file itself: they may be `${NAME}`. */}}
{{- define "tagbert.brokers" -}}
{{- if .Values.kafka.brokers -}}
{{- .Values.kafka.brokers -}}
{{- else -}}
{{- include "tagbert.setting" (list . "kafka.brokers" "" "kafka.brokers") -}}
{{- end -}}
{{- end -}}

{{- define "tagbert.configData" -}}
{{- include "tagbert.refuseElsewhere" . -}}
{{- if not (or .Values.kafka.brokers .Values.args (include "tagbert.said" (list . "kafka.brokers"))) -}}
{{- fail "kafka.brokers: say where Kafka is: --set kafka.brokers=HOST:9092" -}}
{{- end -}}
{{- $data := dict "config.yaml" (include "tagbert.config" .) -}}
{{- with .Values.kafka.brokers -}}
{{- $data = set $data "KAFKA_BOOTSTRAP_SERVERS" . -}}
{{- end -}}
{{- toYaml $data -}}
{{- end -}}

{{/* (dict "key" KEY "in" VALUE): the keys of secrets at it and below it that stand there themselves, one a line: by the words of
src/config/secrets.rs. */}}
{{- define "tagbert.secrets" -}}
{{- $key := .key -}}
{{- if kindIs "map" .in -}}
{{- range $name, $below := .in -}}
{{- include "tagbert.secrets" (dict "key" (ternary (printf "%s.%s" $key $name) $name (ne $key "")) "in" $below) -}}
{{- end -}}
{{- else if kindIs "slice" .in -}}
{{- range $n, $below := .in -}}
{{- include "tagbert.secrets" (dict "key" (printf "%s[%d]" $key $n) "in" $below) -}}
{{- end -}}
{{- else if or (kindIs "invalid" .in) (eq (toString .in) "") (regexMatch "^[$]\\{[^}]*\\}$" (toString .in)) -}}
{{- else if hasPrefix "kafka.properties." $key -}}
{{- $is := regexMatch "password|passphrase|secret|[.]pem|sasl[.]oauthbearer[.]config|token|jaas" $key -}}
{{- if and $is (not (regexMatch "(_file|[.]url|[.]location)$" $key)) -}}
{{- printf "%s\n" $key -}}
{{- end -}}
{{- else if regexMatch "(^|[._])(password|secret|token)$|^redact\\[[0-9]+\\][.]key$" $key -}}
{{- printf "%s\n" $key -}}
{{- end -}}
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
{{- add 30 (include "tagbert.seconds" (include "tagbert.setting" (list . "shutdown.timeout" "30s" "terminationGracePeriodSeconds"))) -}}
{{- else -}}
{{- .Values.terminationGracePeriodSeconds | int64 -}}
{{- end -}}
{{- end -}}
