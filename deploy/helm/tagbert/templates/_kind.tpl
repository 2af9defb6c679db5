{{/* What a kind can't do is refused, as is what would have no effect with it. */}}

{{- define "tagbert.refuseOfKind" -}}
{{- if eq (include "tagbert.component" .) "worker" -}}
{{- include "tagbert.refuseWhatEnds" . -}}
{{- end -}}
{{- end -}}

{{/* Kubernetes starts the pod of a service again also if it ended well. */}}
{{- define "tagbert.refuseWhatEnds" -}}
{{- $again := "and its pod would be started again for ever: set kind=Job or kind=CronJob" -}}
{{- $command := first (append .Values.args "run") -}}
{{- if ne $command "run" -}}
{{- fail (printf "kind: %s: args: %s: the command ends, %s" .Values.kind $command $again) -}}
{{- end -}}
{{- range $where := list "args" "extraArgs" -}}
{{- range index $.Values $where -}}
{{- if regexMatch "^--(from|to|until-end)(=|$)" . -}}
{{- fail (printf "kind: %s: %s: %s: such a run ends, %s" $.Values.kind $where . $again) -}}
{{- end -}}
{{- if regexMatch "^--(max-dead|manifest)(=|$)" . -}}
{{- fail (printf "kind: %s: %s: %s: of a run that ends, and a service does not: leave it out, or set kind=Job or kind=CronJob" $.Values.kind $where .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
