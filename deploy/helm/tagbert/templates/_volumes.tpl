{{/* What the worker reads and writes. */}}

{{- define "tagbert.modelVolume" -}}
{{- with .Values.model -}}
{{- $given := list -}}
{{- range $from := list "existingClaim" "image" "initContainer" -}}
{{- if index $.Values.model $from -}}
{{- $given = append $given $from -}}
{{- end -}}
{{- end -}}
{{- if gt (len $given) 1 -}}
{{- fail (printf "model: %s: choose one" (join ", " $given)) -}}
{{- end -}}
{{- if and $given (not .path) -}}
{{- fail (printf "model.%s: say in model.path where in it the model is, such as /models or /models/NAME" (first $given)) -}}
{{- end -}}
{{- if .existingClaim -}}
persistentVolumeClaim:
  claimName: {{ .existingClaim }}
  readOnly: true
{{- else if .image -}}
image:
  {{- toYaml .image | nindent 2 }}
{{- else if .initContainer -}}
emptyDir: {}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tagbert.cacheVolume" -}}
{{- with .Values.cache -}}
{{- if and .existingClaim .ephemeral -}}
{{- fail "cache: existingClaim, ephemeral: choose one" -}}
{{- end -}}
{{- if .existingClaim -}}
persistentVolumeClaim:
  claimName: {{ .existingClaim }}
{{- else if .ephemeral -}}
ephemeral:
  volumeClaimTemplate:
    spec:
      {{- toYaml .ephemeral | nindent 6 }}
{{- else -}}
emptyDir:
  sizeLimit: {{ .sizeLimit }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tagbert.volumes" -}}
- name: config
  configMap:
    name: {{ include "tagbert.fullname" . }}
    items:
      - key: config.yaml
        path: config.yaml
- name: cache
  {{- include "tagbert.cacheVolume" . | nindent 2 }}
{{- with include "tagbert.modelVolume" . }}
- name: model
  {{- . | nindent 2 }}
{{- end }}
{{- range $name, $secret := .Values.secretFiles }}
- name: secret-{{ $name }}
  secret:
    secretName: {{ $secret }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whole directories: what is mounted by subPath never sees a change. */}}
{{- define "tagbert.volumeMounts" -}}
- name: config
  mountPath: /etc/tagbert
  readOnly: true
- name: cache
  mountPath: /var/cache/tagbert
{{- if include "tagbert.modelVolume" . }}
- name: model
  mountPath: /models
  readOnly: true
{{- end }}
{{- range $name, $secret := .Values.secretFiles }}
- name: secret-{{ $name }}
  mountPath: /run/secrets/{{ $name }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
