{{/* What a kind can't do is refused, as is what would have no effect with it. */}}

{{- define "tagbert.refuseOfKind" -}}
{{- $kind := .Values.kind -}}
{{- if eq (include "tagbert.component" .) "worker" -}}
{{- include "tagbert.refuseWhatEnds" . -}}
{{- range $key := list "run" "activeDeadlineSeconds" "ttlSecondsAfterFinished" -}}
{{- if not (has (toJson (index $.Values.job $key)) (list "null" "\"\"")) -}}
{{- fail (printf "job.%s: of runs that end, and a %s has none: leave it out, or set kind=Job" $key $kind) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- if .Values.updateStrategy -}}
{{- fail (printf "updateStrategy: of a Deployment or StatefulSet, and a %s updates no pods: leave it out" $kind) -}}
{{- end -}}
{{- if not (kindIs "invalid" .Values.podDisruptionBudget.minAvailable) -}}
{{- fail (printf "podDisruptionBudget.minAvailable: a %s has no budget, and goes on after a pod that was drained: leave it out" $kind) -}}
{{- end -}}
{{- end -}}
{{- if eq $kind "CronJob" -}}
{{- if .Values.job.run -}}
{{- fail "job.run: the clock starts the runs of a CronJob: leave it out, or take kind: Job" -}}
{{- end -}}
{{- else -}}
{{- range $key := list "timeZone" "suspend" -}}
{{- if index $.Values.cronJob $key -}}
{{- fail (printf "cronJob.%s: of a clock, and a %s has none: leave it out, or set kind=CronJob" $key $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "tagbert.refuseBesideArgs" . -}}
{{- include "tagbert.refusePodName" . -}}
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

{{/* With args, the command line is theirs. */}}
{{- define "tagbert.refuseBesideArgs" -}}
{{- $own := .Values.settings -}}
{{- with .Values.model.path -}}
{{- if hasKey $own "model.path" -}}
{{- fail (printf "settings: model.path: model.path says %s: leave one of them out" .) -}}
{{- end -}}
{{- end -}}
{{- if .Values.args -}}
{{- range $key := keys $own | sortAlpha -}}
{{- fail (printf "settings: %s: args are the whole command line, and have no settings: write --set=%s=… into args or extraArgs" $key $key) -}}
{{- end -}}
{{- with .Values.model -}}
{{- if and .path (not (or .existingClaim .image .initContainer)) -}}
{{- fail (printf "model.path: %s: args are the whole command line, and do not have it: write --set=model.path=… into args or extraArgs" .path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Kubernetes leaves $(NAME) as it stands where it knows no such variable, and so all pods would be one member of the group. ($$(NAME) is how
to say that one wants it so.) It looks at arguments and variables alone. */}}
{{- define "tagbert.refusePodName" -}}
{{- $name := "(^|[^$])([$][$])*[$][(]POD_NAME[)]" -}}
{{- $given := list -}}
{{- range .Values.extraEnv -}}
{{- $given = append $given .name -}}
{{- end -}}
{{- $isGiven := has "POD_NAME" $given -}}
{{- $isKnown := and (eq .Values.kind "StatefulSet") (not $isGiven) -}}
{{- $why := "$(POD_NAME) would stay as it is, the same in each pod, since only those of a StatefulSet have that variable: set kind: StatefulSet, or define POD_NAME in extraEnv" -}}
{{- /* A variable may name those before it. */}}
{{- range .Values.extraEnv -}}
{{- if and (not $isKnown) (regexMatch $name (.value | default "")) -}}
{{- fail (printf "extraEnv: %s: %s%s" .name $why (ternary ", before this" "" $isGiven)) -}}
{{- end -}}
{{- $isKnown = or $isKnown (eq .name "POD_NAME") -}}
{{- end -}}
{{- if not $isKnown -}}
{{- range $key, $value := .Values.settings -}}
{{- if regexMatch $name $value -}}
{{- fail (printf "settings: %s: %s" $key $why) -}}
{{- end -}}
{{- end -}}
{{- range $where := list "args" "extraArgs" -}}
{{- range index $.Values $where -}}
{{- if regexMatch $name . -}}
{{- fail (printf "%s: %s: %s" $where . $why) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.kind "StatefulSet" -}}
{{- range $given -}}
{{- if eq (lower .) "tagbert__kafka__properties__group__instance__id" -}}
{{- fail (printf "extraEnv: %s: the StatefulSet's own argument would beat it: set settings: {kafka.properties.group.instance.id: …}" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if regexMatch $name (toJson (fromYaml (include "tagbert.config" .))) -}}
{{- fail "config: $(POD_NAME) would stay as it is, the same in each pod, since Kubernetes does not look into files: write ${POD_NAME}, with kind: StatefulSet or with POD_NAME in extraEnv" -}}
{{- end -}}
{{- end -}}
